output "buckets" {
  description = "Name and ARN of the bucket for each purpose."
  value       = { for purpose, bucket in aws_s3_bucket.this : purpose => { name = bucket.bucket, arn = local.arns[purpose] } }
}
