variable "prefix" {
  description = "First part of the repository's name."
  type        = string
}

variable "project_name" {
  description = "Name of the CodeBuild project; also of its role, and the last part of its log group's."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region of repository and builds."
  type        = object({ id = string, partition = string, region = string })
}

variable "artifacts_bucket" {
  description = "Bucket that holds what a build starts from, source/<sha256>.zip."
  type        = object({ name = string, arn = string })
}

variable "key_arn" {
  description = "Key of the artifacts bucket; also encrypts the log group."
  type        = string
}

variable "empty_on_destroy" {
  description = "Whether destroy deletes the images in the repository."
  type        = bool
}

variable "log_retention_days" {
  description = "Days for which the builds' logs are kept."
  type        = number
}

variable "permissions_boundary_arn" {
  description = "Policy that bounds what the role may ever do. Null: none."
  type        = string
}
