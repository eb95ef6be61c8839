locals {
  # From names alone, so that a first plan can show who may pull from it.
  repository_name = "${var.prefix}-serving"
  repository_url  = "${var.account.id}.dkr.ecr.${var.account.region}.amazonaws.com/${local.repository_name}"
  repository_arn  = "arn:${var.account.partition}:ecr:${var.account.region}:${var.account.id}:repository/${local.repository_name}"

  kept_images = 30
}

resource "aws_ecr_repository" "this" {
  #checkov:skip=CKV_AWS_136:An image holds this repository's code and public packages, nothing secret; ECR encrypts it with a key of its own.

  name                 = local.repository_name
  image_tag_mutability = "IMMUTABLE" # a tag is the hash of what the image was built from
  force_delete         = var.empty_on_destroy

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Nothing without a tag: nobody can ask for it."
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 1 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2 # of "any", which ECR wants last
        description  = "The newest images alone."
        selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = local.kept_images }
        action       = { type = "expire" }
      },
    ]
  })
}
