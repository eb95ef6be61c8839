"""What moto 5.2.5 lacks, or answers otherwise than AWS, where our Terraform needs it: one small function each.

A shim mends moto's own classes, before its server starts. Each has a test that fails on the day that plain moto no
longer needs it (tests/local_aws/test_shims.py): delete the shim and its test then.
"""

from functools import cache

from local_aws.shims import autoscaling, budgets, codebuild, ec2, iam, kms, lambda_, notebooks, s3, sagemaker, ssm

ALL = (
    autoscaling.add_tags_of_scalable_targets,
    budgets.add_tags_of_budgets,
    budgets.add_update_budget,
    budgets.read_back_subscribers,
    codebuild.add_update_project,
    codebuild.delete_projects_by_arn,
    ec2.describe_every_rule,
    ec2.keep_tags_of_a_template_out_of_it,
    ec2.run_instances_as_their_template_says,
    iam.let_requests_count_as_tls,
    kms.read_back_rotation_period,
    lambda_.add_provisioned_concurrency,
    lambda_.read_back_logging_config,
    notebooks.add_tags_of_lifecycle_configurations,
    notebooks.list_lifecycle_configurations,
    notebooks.read_back_platform_and_metadata_service,
    s3.let_policies_grant_log_delivery,
    sagemaker.add_update_endpoint,
    sagemaker.know_current_instance_types,
    sagemaker.leave_out_empty_data_capture_config,
    sagemaker.leave_out_empty_vpc_config,
    sagemaker.read_back_deployment_config,
    sagemaker.read_back_network_isolation,
    ssm.publish_deep_learning_images,
)


@cache  # a shim wraps what it finds: twice would be once too often
def install() -> None:
    """Apply every shim to the moto of this process."""
    for shim in ALL:
        shim()
