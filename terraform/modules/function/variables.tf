variable "name" {
  description = "Name of the function."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region of the function."
  type        = object({ id = string, partition = string, region = string })
}

variable "package" {
  description = "Path of the function's zip."
  type        = string
}

variable "memory_mb" {
  description = "Memory of the function."
  type        = number
}

variable "timeout_seconds" {
  description = "Time for one invocation."
  type        = number
}

variable "reserved_concurrency" {
  description = "Share of the account's concurrency kept for the function, and its ceiling. Null: neither."
  type        = number
}

variable "provisioned_concurrency" {
  description = "Execution environments kept initialised on the alias. Null: none."
  type        = number
}

variable "endpoint_name" {
  description = "The one endpoint that the function calls. It need not exist yet."
  type        = string
}

variable "allowed_url_hosts" {
  description = "Hosts that images are fetched from by https, by http too where written http://<host>; \"*\" is any host."
  type        = list(string)
}

variable "allowed_s3_prefixes" {
  description = "Where images are read from in S3, as s3://<bucket>/<prefix>/."
  type        = list(string)
}

variable "cors_origins" {
  description = "Origins whose pages may read the answers."
  type        = list(string)
}

variable "key_arn" {
  description = "Key that encrypts the log group, and the project's buckets."
  type        = string
}

variable "permissions_boundary_arn" {
  description = "Policy that bounds what the role may ever do. Null: none."
  type        = string
}

variable "log_retention_days" {
  description = "Days for which the logs are kept."
  type        = number
}

variable "topic_arn" {
  description = "Topic that the alarms report to."
  type        = string
}
