variable "prefix" {
  description = "First part of the role's name."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region in which the jobs run."
  type        = object({ id = string, partition = string, region = string })
}

variable "registry_account_id" {
  description = "AWS account that publishes the training images."
  type        = string
}

variable "buckets" {
  description = "Buckets of the data sets and of everything that is made from them."
  type = object({
    data      = object({ arn = string })
    artifacts = object({ arn = string })
  })
}
