output "buckets" {
  description = "Name and ARN of the bucket for each purpose: data, artifacts, logs."
  value       = { for purpose, bucket in aws_s3_bucket.this : purpose => { name = bucket.bucket, arn = local.arns[purpose] } }
}

output "key_arn" {
  description = "ARN of the key that encrypts what is kept."
  value       = aws_kms_key.this.arn
}
