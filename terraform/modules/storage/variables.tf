variable "prefix" {
  description = "First part of each bucket's name."
  type        = string
}

variable "account" {
  description = "AWS account and partition; the id makes the names unique in the world."
  type        = object({ id = string, partition = string })
}

variable "empty_on_destroy" {
  description = "Whether destroy deletes what the buckets hold."
  type        = bool
}
