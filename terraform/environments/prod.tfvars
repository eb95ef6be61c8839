# AWS, for traffic. Numbers that fit together: two instances scale out above 2 x 20 simultaneous requests, and the
# function lets 100 through, which is what four instances take with room to spare. No notebook: nobody explores here.
environment                      = "prod"
allowed_account_ids              = null # name yours on this line, such as ["123456789012"], and no other is touched
function_reserved_concurrency    = 100
function_provisioned_concurrency = 5
log_retention_days               = 90
monthly_budget_usd               = 1000
notebook                         = null

endpoint_scaling = {
  min_instances = 2 # from two instances a new release starts on a canary
  max_instances = 4
}
