# AWS, as cheap as it gets: the seed's numbers, no environment kept warm.
environment                      = "dev"
allowed_account_ids              = null # name yours on this line, such as ["123456789012"], and no other is touched
empty_buckets_on_destroy         = true
function_provisioned_concurrency = null
log_retention_days               = 14
