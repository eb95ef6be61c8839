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

variable "notebook" {
  description = "Notebook instance; idle_minutes without work stop it, repository_url is cloned when it is made. Null: none."
  type        = object({ instance_type = string, volume_gb = number, idle_minutes = number, repository_url = string })
}

variable "key_arn" {
  description = "Key of the buckets and of the notebook's volume."
  type        = string
}

variable "network" {
  description = "Private network of jobs and notebook, and what a role needs to attach to it. Null: SageMaker's own network."
  type        = object({ subnet_ids = list(string), security_group_ids = list(string), policy_json = string })
}

variable "permissions_boundary_arn" {
  description = "Policy that bounds what the roles may ever do. Null: none."
  type        = string
}
