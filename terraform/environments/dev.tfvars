# AWS, as cheap as it gets: the seed's numbers, no environment kept warm.
environment                      = "dev"
empty_buckets_on_destroy         = true
function_provisioned_concurrency = null
log_retention_days               = 14
