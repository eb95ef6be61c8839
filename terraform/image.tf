# What serves the models: an image that `make image` builds in AWS. The tag in use is data, like the releases: that
# command alone writes it, once the image is there.

module "image" {
  source = "./modules/image"

  prefix                   = local.prefix
  project_name             = local.image_project_name
  account                  = local.account
  artifacts_bucket         = module.storage.buckets.artifacts
  key_arn                  = module.storage.key_arn
  empty_on_destroy         = var.empty_buckets_on_destroy
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
}

resource "aws_ssm_parameter" "image" {
  #checkov:skip=CKV2_AWS_34:Nothing secret; Terraform must read it as insecure_value, which a SecureString does not have.

  name           = "/${var.project}/${var.environment}/image"
  description    = "Tag of the image that models are served with, the SHA-256 of what it was built from; none before the first."
  type           = "String"
  insecure_value = "none"

  lifecycle {
    ignore_changes = [insecure_value]

    postcondition {
      condition     = self.insecure_value == "none" || can(regex(local.tag_pattern, self.insecure_value))
      error_message = "The parameter ${self.name} must be none, or the tag of a serving image: 64 hexadecimal digits."
    }
  }
}

locals {
  tag_pattern = "^[0-9a-f]{64}$"

  built_image_uri      = aws_ssm_parameter.image.insecure_value == "none" ? null : "${module.image.repository_url}:${aws_ssm_parameter.image.insecure_value}"
  image_uri            = var.serving_image_uri == null ? local.built_image_uri : var.serving_image_uri
  image_repository_url = var.serving_image_uri == null ? module.image.repository_url : regex("^[^:@]+", var.serving_image_uri)
}
