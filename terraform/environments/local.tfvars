# The stand-in cloud on this machine: the seed's numbers, and nothing worth keeping.
environment              = "local"
emulated                 = true
empty_buckets_on_destroy = true
