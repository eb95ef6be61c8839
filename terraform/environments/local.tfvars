# The stand-in cloud on this machine: the seed's numbers, and nothing worth keeping.
environment              = "local"
emulated                 = true
empty_buckets_on_destroy = true

# What is served there is the checkout itself, whatever the tag.
serving_image_uri = "123456789012.dkr.ecr.us-east-1.amazonaws.com/dogbreed-local-serving:this-checkout"
