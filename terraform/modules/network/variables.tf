variable "prefix" {
  description = "First part of each name."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region of the network."
  type        = object({ id = string, partition = string, region = string })
}

variable "cidr_block" {
  description = "Addresses of the network, /16 to /24; each zone gets a sixteenth."
  type        = string
}

variable "availability_zones" {
  description = "Number of zones with a subnet. SageMaker wants two for an endpoint."
  type        = number
}

variable "bucket_arns" {
  description = "The only buckets that can be reached from inside."
  type        = list(string)
}
