output "repository_url" {
  description = "Repository of the serving images, to be followed by a tag."
  value       = local.repository_url
}
