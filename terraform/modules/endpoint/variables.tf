variable "name" {
  description = "Name of the endpoint, and first part of every other name here."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region of the endpoint."
  type        = object({ id = string, partition = string, region = string })
}

variable "releases" {
  description = "What can be served, the one in service first. Each keeps a model and an endpoint configuration, which starts with its instance_count (null: the least)."
  type        = list(object({ run_id = string, manifest_sha256 = string, instance_count = number }))

  validation {
    condition     = length(distinct(var.releases[*].run_id)) == length(var.releases)
    error_message = "releases: each run_id stands in the release list once."
  }
}

variable "serving" {
  description = "Whether the endpoint exists. Without it the models and configurations are kept."
  type        = bool
}

variable "artifacts_bucket" {
  description = "Bucket that holds runs/<run_id>/output/model.tar.gz."
  type        = object({ name = string, arn = string })
}

variable "image_uri" {
  description = "Serving image in ECR, by tag or digest. Null: there is none yet, and so no release."
  type        = string
}

variable "image_repository_url" {
  description = "Repository that the role may pull the image from: <account>.dkr.ecr.<region>.amazonaws.com/<repository>."
  type        = string
}

variable "instance_type" {
  description = "Instance type behind the endpoint."
  type        = string
}

variable "scaling" {
  description = "Bounds, metric, targets and cooldowns of the autoscaling; the metric decides which target counts."
  type = object({
    min_instances                 = number
    max_instances                 = number
    metric                        = string
    target_simultaneous_requests  = number
    target_invocations_per_minute = number
    scale_in_cooldown_seconds     = number
    scale_out_cooldown_seconds    = number
  })
}

variable "capture_percent" {
  description = "Share of requests and answers that is kept in the artifacts bucket under capture/. 0: none."
  type        = number
}

variable "key_arn" {
  description = "Key of the artifacts bucket; also encrypts the instances' volumes, the log group and what is captured."
  type        = string
}

variable "network" {
  description = "Private subnets for the models, and what a role needs there. Null: SageMaker's own network."
  type        = object({ subnet_ids = list(string), security_group_ids = list(string), policy_json = string })
}

variable "topic_arn" {
  description = "Topic that the alarms report to."
  type        = string
}

variable "permissions_boundary_arn" {
  description = "Policy that bounds what the role may ever do. Null: none."
  type        = string
}

variable "log_retention_days" {
  description = "Days for which the endpoint's logs are kept."
  type        = number
}
