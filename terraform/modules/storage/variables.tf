variable "prefix" {
  description = "First part of each name."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region; the id makes the buckets' names unique in the world."
  type        = object({ id = string, partition = string, region = string })
}

variable "log_group_names" {
  description = "Log groups that may be encrypted with the key."
  type        = list(string)
}

variable "empty_on_destroy" {
  description = "Whether destroy deletes what the buckets hold."
  type        = bool
}
