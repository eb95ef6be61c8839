# The names are those of the main root's variables and outputs; what is in both means the same in both.

variable "project" {
  description = "Name of the product, as in the main root."
  type        = string
  default     = "dogbreed"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.project))
    error_message = "project: 3 to 20 lower-case letters, digits or hyphens, a letter first."
  }
}

variable "environment" {
  description = "Which copy of the product the run belongs to."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,9}$", var.environment))
    error_message = "environment: 2 to 10 lower-case letters or digits, a letter first."
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
  description = "Policy that bounds what the role may ever do. Null: none."
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

variable "run_id" {
  description = "Name of the run: its results go to runs/<run_id>/, its checkpoints to checkpoints/<run_id>/, and to nowhere else."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,39}$", var.run_id))
    error_message = "run_id: 1 to 40 lower-case letters, digits or hyphens, no hyphen first."
  }
}

variable "data_bucket" {
  description = "Name of the bucket of the data sets; the main root's output."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.data_bucket))
    error_message = "data_bucket: the name of a bucket."
  }
}

variable "artifacts_bucket" {
  description = "Name of the bucket of sources, runs and checkpoints; the main root's output."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.artifacts_bucket))
    error_message = "artifacts_bucket: the name of a bucket."
  }
}

variable "key_arn" {
  description = "Key of the buckets, and of the instance's volume; the main root's output."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.key_arn))
    error_message = "key_arn: the ARN of a KMS key, not of an alias."
  }
}

variable "instance_type" {
  description = "Instance type of the run. The image is for x86-64."
  type        = string
  default     = "m5.xlarge"

  validation {
    # The letter g behind the generation is Graviton's.
    condition     = can(regex("^[a-z]+[0-9]+[a-z-]*\\.([0-9]*x?large|medium)$", var.instance_type)) && !can(regex("^[a-z]+[0-9]+g[a-z-]*\\.", var.instance_type))
    error_message = "instance_type: an x86-64 EC2 instance type such as m5.xlarge, without SageMaker's ml."
  }
}

variable "ami_ssm_parameter" {
  description = "SSM parameter that names the machine image: AWS's Deep Learning AMI with PyTorch, read at the start of the run."
  type        = string
  default     = "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.13-amazon-linux-2023/latest/ami-id"

  validation {
    # The launch template encrypts /dev/xvda, which is the root volume of Amazon Linux, and not of Ubuntu.
    condition     = startswith(var.ami_ssm_parameter, "/") && !strcontains(var.ami_ssm_parameter, "ubuntu") && !strcontains(var.ami_ssm_parameter, "arm64")
    error_message = "ami_ssm_parameter: the path of an SSM parameter with an Amazon Linux image for x86-64."
  }
}

variable "volume_gb" {
  description = "Size of the volume that holds system, data set and checkpoints. The Deep Learning AMI itself takes most of 75."
  type        = number
  default     = 100

  validation {
    condition     = var.volume_gb >= 75 && var.volume_gb <= 16384 && floor(var.volume_gb) == var.volume_gb
    error_message = "volume_gb: a whole number from 75 to 16384."
  }
}

variable "subnet_id" {
  description = "Subnet of the run. Null: one of the default VPC's, in a zone that has the instance type. In the private network of the main root the run works, Session Manager does not."
  type        = string
  default     = null

  validation {
    condition     = var.subnet_id == null || can(regex("^subnet-[0-9a-f]{8,17}$", var.subnet_id))
    error_message = "subnet_id: the id of a subnet, or null."
  }
}

variable "training" {
  description = <<-EOT
    What the instance trains when it has started, and then ends: data set, source by its hash, arguments of train.py, and
    how long it may take. Null: nothing, and it stays.
  EOT
  type = object({
    dataset       = string
    source_sha256 = string
    arguments     = optional(list(string), [])
    max_seconds   = optional(number, 21600)
  })
  default = null

  # All but the arguments are written into a script as they are.
  validation {
    condition     = var.training == null ? true : can(regex("^[a-z0-9][a-z0-9-]{0,39}$", var.training.dataset))
    error_message = "training: dataset is 1 to 40 lower-case letters, digits or hyphens, no hyphen first."
  }
  validation {
    condition     = var.training == null ? true : can(regex("^[0-9a-f]{64}$", var.training.source_sha256))
    error_message = "training: source_sha256 is the SHA-256 of the source, 64 hexadecimal digits."
  }
  validation {
    condition     = var.training == null ? true : var.training.max_seconds >= 1 && var.training.max_seconds <= 604800 && floor(var.training.max_seconds) == var.training.max_seconds
    error_message = "training: max_seconds is a whole number from 1 to 604800."
  }
}
