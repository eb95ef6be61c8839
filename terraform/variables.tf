# The only home of instance types, concurrency, scaling and names. The defaults are the seed's own numbers where it
# had one; the modules take what is decided here and have no defaults of their own.

variable "project" {
  description = "Name of the product; the first part of every name and of every parameter's path."
  type        = string
  default     = "dogbreed"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.project))
    error_message = "project: 3 to 20 lower-case letters, digits or hyphens, a letter first (it becomes part of bucket names)."
  }
}

variable "environment" {
  description = "Which copy of the product this is; the name of its file in environments/."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,9}$", var.environment))
    error_message = "environment: 2 to 10 lower-case letters or digits, a letter first (it becomes part of bucket names)."
  }
}

variable "region" {
  description = "AWS region that holds everything."
  type        = string
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[1-9]$", var.region))
    error_message = "region: an AWS region such as us-east-1."
  }
}

variable "allowed_account_ids" {
  description = "AWS accounts in which this environment may live; anything else is refused. Null: any."
  type        = list(string)
  default     = null

  validation {
    condition     = var.allowed_account_ids == null ? true : length(var.allowed_account_ids) > 0 && alltrue([for id in var.allowed_account_ids : can(regex("^[0-9]{12}$", id))])
    error_message = "allowed_account_ids: AWS accounts, twelve digits each, or null."
  }
}

variable "commit" {
  description = "Commit that is applied; a tag on everything."
  type        = string
  default     = "unknown"

  validation {
    condition     = can(regex("^[a-z0-9-]{1,50}$", var.commit))
    error_message = "commit: the abbreviated hash of a commit, -dirty behind it where the tree differs."
  }
}

variable "permissions_boundary_arn" {
  description = "Policy that bounds what any role here may ever do; terraform/bootstrap makes one, and its apply roles make no role without it. Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:policy/.+$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn: the ARN of an IAM policy, or null."
  }
}

variable "emulated" {
  description = "Whether AWS_ENDPOINT_URL is the stand-in cloud; changes the provider's plumbing and nothing else."
  type        = bool
  default     = false
  nullable    = false
}

variable "empty_buckets_on_destroy" {
  description = "Whether destroy deletes what the buckets and the repository of images hold. Without it, destroy stops at one that is not empty."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.empty_buckets_on_destroy && var.environment == "prod")
    error_message = "empty_buckets_on_destroy: never in prod; empty the buckets by hand if their data is really to go."
  }
}

variable "log_retention_days" {
  description = "Days for which the logs of endpoint, function and image builds are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days: one of the periods that CloudWatch Logs knows, such as 7, 14, 30, 60, 90 or 365."
  }
}

variable "network" {
  description = "Private network without a way to the internet for training and serving. Null: none; its interface endpoints are billed by the hour, each in each zone."
  type = object({
    cidr_block         = optional(string, "10.20.0.0/16")
    availability_zones = optional(number, 2)
  })
  default = null

  validation {
    condition     = var.network == null ? true : can(cidrsubnet(var.network.cidr_block, 4, 0)) && can(regex("/(1[6-9]|2[0-4])$", var.network.cidr_block))
    error_message = "network: cidr_block is an IPv4 range of /16 to /24 such as 10.20.0.0/16."
  }
  validation {
    condition     = var.network == null ? true : contains([2, 3], var.network.availability_zones)
    error_message = "network: availability_zones is 2 or 3."
  }
}

# Training

variable "training_instance_type" {
  description = "Instance type of the training jobs."
  type        = string
  default     = "ml.m5.xlarge"

  validation {
    condition     = can(regex("^ml\\.[a-z][a-z0-9-]*\\.([0-9]*x?large|medium)$", var.training_instance_type))
    error_message = "training_instance_type: a SageMaker instance type such as ml.m5.xlarge."
  }
}

variable "training_registry_account_id" {
  description = "AWS account of the Deep Learning Containers in this region (763104351884 in most; see AWS's list of registry paths)."
  type        = string
  default     = "763104351884"

  validation {
    condition     = can(regex("^[0-9]{12}$", var.training_registry_account_id))
    error_message = "training_registry_account_id: an AWS account, twelve digits."
  }
}

variable "notebook" {
  description = "Notebook instance with a clone of repository_url (null: empty), which stops after idle_minutes without work. Null: none."
  type = object({
    instance_type  = optional(string, "ml.t3.medium")
    volume_gb      = optional(number, 20)
    idle_minutes   = optional(number, 60)
    repository_url = optional(string)
  })
  default = {}

  validation {
    condition     = var.notebook == null ? true : can(regex("^ml\\.[a-z][a-z0-9-]*\\.([0-9]*x?large|medium)$", var.notebook.instance_type))
    error_message = "notebook: instance_type is a SageMaker instance type such as ml.t3.medium."
  }
  validation {
    condition     = var.notebook == null ? true : var.notebook.volume_gb >= 5 && var.notebook.volume_gb <= 16384
    error_message = "notebook: volume_gb is 5 to 16384."
  }
  validation {
    condition     = var.notebook == null ? true : var.notebook.idle_minutes >= 10 && var.notebook.idle_minutes <= 1440
    error_message = "notebook: idle_minutes is 10 to 1440."
  }
  validation {
    condition     = try(var.notebook.repository_url, null) == null ? true : can(regex("^https://[A-Za-z0-9][A-Za-z0-9./_-]*$", var.notebook.repository_url))
    error_message = "notebook: repository_url is an https address of a Git repository."
  }
  validation {
    condition     = var.network == null || try(var.notebook.repository_url, null) == null
    error_message = "notebook: repository_url cannot be cloned in a network without internet; leave it out, or network."
  }
}

# Endpoint

variable "serving_image_uri" {
  description = "Serving image in ECR, by tag or digest, in place of those that `make image` builds. Null: the one that it built last."
  type        = string
  default     = null

  validation {
    condition     = var.serving_image_uri == null || can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com/[a-z0-9][a-z0-9._/-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})$", var.serving_image_uri))
    error_message = "serving_image_uri: <account>.dkr.ecr.<region>.amazonaws.com/<repository> with a :tag or an @sha256: digest."
  }
}

variable "endpoint_instance_type" {
  description = "Instance type behind the endpoint. ml.c7i has AMX, so the bf16 graph runs at full speed; the seed's ml.m5.large works, in fp32."
  type        = string
  default     = "ml.c7i.large"

  validation {
    condition     = can(regex("^ml\\.[a-z][a-z0-9-]*\\.([0-9]*x?large|medium)$", var.endpoint_instance_type))
    error_message = "endpoint_instance_type: a SageMaker instance type such as ml.c7i.large."
  }
}

variable "endpoint_scaling" {
  description = <<-EOT
    Autoscaling of the endpoint. `metric` chooses what one instance is measured by, and with it which target counts:
    SageMakerVariantConcurrentRequestsPerModelHighResolution (simultaneous requests, emitted every 10 s) or
    SageMakerVariantInvocationsPerInstance (average invocations per minute, emitted every minute).
  EOT
  type = object({
    min_instances                 = optional(number, 1)
    max_instances                 = optional(number, 3)
    metric                        = optional(string, "SageMakerVariantConcurrentRequestsPerModelHighResolution")
    target_simultaneous_requests  = optional(number, 20)
    target_invocations_per_minute = optional(number)
    scale_in_cooldown_seconds     = optional(number, 30)
    scale_out_cooldown_seconds    = optional(number, 30)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.endpoint_scaling.min_instances >= 1 && var.endpoint_scaling.min_instances <= var.endpoint_scaling.max_instances && var.endpoint_scaling.max_instances <= 20
    error_message = "endpoint_scaling: 1 <= min_instances <= max_instances <= 20."
  }
  validation {
    # The provider sends any name; AWS refuses a wrong one in the middle of an apply.
    condition     = contains(["SageMakerVariantConcurrentRequestsPerModelHighResolution", "SageMakerVariantInvocationsPerInstance"], var.endpoint_scaling.metric)
    error_message = "endpoint_scaling: metric is SageMakerVariantConcurrentRequestsPerModelHighResolution or SageMakerVariantInvocationsPerInstance."
  }
  validation {
    condition     = var.endpoint_scaling.metric != "SageMakerVariantInvocationsPerInstance" || var.endpoint_scaling.target_invocations_per_minute != null
    error_message = "endpoint_scaling: SageMakerVariantInvocationsPerInstance needs target_invocations_per_minute."
  }
  validation {
    # An instance turns callers away beyond 64 at once (MAX_REQUESTS in inference/serve.py): it must grow before.
    condition     = var.endpoint_scaling.target_simultaneous_requests >= 1 && var.endpoint_scaling.target_simultaneous_requests <= 50 && coalesce(var.endpoint_scaling.target_invocations_per_minute, 1) >= 1
    error_message = "endpoint_scaling: target_simultaneous_requests is 1 to 50, target_invocations_per_minute at least 1."
  }
  validation {
    condition     = alltrue([for seconds in [var.endpoint_scaling.scale_in_cooldown_seconds, var.endpoint_scaling.scale_out_cooldown_seconds] : seconds >= 0 && seconds <= 3600])
    error_message = "endpoint_scaling: a cooldown is 0 to 3600 seconds."
  }
}

variable "endpoint_capture_percent" {
  description = "Share of requests and answers that the endpoint keeps, encrypted and for 30 days, in the artifacts bucket. They hold the callers' photographs. 0: none."
  type        = number
  default     = 5

  validation {
    condition     = var.endpoint_capture_percent >= 0 && var.endpoint_capture_percent <= 100 && floor(var.endpoint_capture_percent) == var.endpoint_capture_percent
    error_message = "endpoint_capture_percent: a whole number from 0 to 100."
  }
}

# Function

variable "function_package" {
  description = "The function's zip. Built outside, byte for byte reproducible, and deployed by its hash."
  type        = string

  validation {
    condition     = fileexists(var.function_package)
    error_message = "function_package: there is no such file; build the function's zip first."
  }
}

variable "function_memory_mb" {
  description = "Memory of the function; its share of CPU grows with it. The seed's 128 MB takes seconds to import boto3."
  type        = number
  default     = 512

  validation {
    condition     = var.function_memory_mb >= 128 && var.function_memory_mb <= 10240
    error_message = "function_memory_mb: 128 to 10240."
  }
}

variable "function_timeout_seconds" {
  description = "Time for one invocation. What the function may spend on the model is derived from it."
  type        = number
  default     = 30

  validation {
    condition     = var.function_timeout_seconds >= 10 && var.function_timeout_seconds <= 68
    error_message = "function_timeout_seconds: 10 to 68 (8 more than SageMaker gives a model for one answer)."
  }
}

variable "function_reserved_concurrency" {
  description = "Share of the account's concurrency kept for the function, and its ceiling; free. Null: neither. A new account may have too little to reserve."
  type        = number
  default     = 5

  validation {
    condition     = var.function_reserved_concurrency == null ? true : var.function_reserved_concurrency >= 1
    error_message = "function_reserved_concurrency: at least 1 (0 would switch the function off), or null."
  }
}

variable "function_provisioned_concurrency" {
  description = "Execution environments kept initialised on the alias; billed by the hour. Null: none."
  type        = number
  default     = 2

  validation {
    condition     = var.function_provisioned_concurrency == null ? true : var.function_provisioned_concurrency >= 1
    error_message = "function_provisioned_concurrency: at least 1, or null."
  }
  validation {
    condition     = var.function_provisioned_concurrency == null || var.function_reserved_concurrency == null ? true : var.function_provisioned_concurrency <= var.function_reserved_concurrency
    error_message = "function_provisioned_concurrency: at most function_reserved_concurrency."
  }
}

variable "function_allowed_url_hosts" {
  description = "Hosts that the function fetches images from by https, by http too where written http://<host>. \"*\": any with a public address. Empty: none."
  type        = list(string)
  default     = ["*"]

  validation {
    condition     = alltrue([for host in var.function_allowed_url_hosts : can(regex("^([*]|(http://)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?)$", host))])
    error_message = "function_allowed_url_hosts: host names in lower case, such as images.example.com or http://images.example.com, or \"*\"."
  }
}

variable "function_allowed_s3_prefixes" {
  description = "Where the function reads images in S3, as s3://<bucket>/<prefix>/; it gets the right to read just there. Empty: nowhere."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for prefix in var.function_allowed_s3_prefixes : can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^*?$[:space:]]*[^*?$/[:space:]]/$", prefix))])
    error_message = "function_allowed_s3_prefixes: each s3://<bucket>/<prefix>/, its last slash included, without * ? $ or blanks."
  }
}

variable "function_cors_origins" {
  description = "Origins whose pages may read the function's answers, as https://<host>. Empty: none but its own."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for origin in var.function_cors_origins : can(regex("^https?://[a-z0-9.-]+(:[0-9]+)?$", origin))])
    error_message = "function_cors_origins: each exactly as a browser sends it, such as https://dogs.example.com; never \"*\"."
  }
}

# Operations

variable "alert_email" {
  description = "Address that alerts go to, after it has confirmed. Null: the topic is there, and nobody is told."
  type        = string
  default     = null

  validation {
    condition     = var.alert_email == null || can(regex("^[^@[:space:]]+@[^@[:space:]]+[.][^@[:space:]]+$", var.alert_email))
    error_message = "alert_email: an e-mail address, or null."
  }
}

variable "monthly_budget_usd" {
  description = "What the project may cost a month in this account, all its environments together: an alert at 80 % spent, and when the forecast passes it. Null: no budget."
  type        = number
  default     = 100

  validation {
    condition     = var.monthly_budget_usd == null ? true : var.monthly_budget_usd >= 1
    error_message = "monthly_budget_usd: at least 1, or null."
  }
}

variable "unused_access_days" {
  description = "Days after which IAM Access Analyzer reports roles, keys and permissions of the account as unused; billed for each role and user, so in one environment at most. Null: off."
  type        = number
  default     = null

  validation {
    condition     = var.unused_access_days == null ? true : contains(range(1, 366), var.unused_access_days)
    error_message = "unused_access_days: a whole number from 1 to 365, or null."
  }
}
