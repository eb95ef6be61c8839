# The notebook of the training module: how it is shut, what it may do, and that it stops by itself.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

variables {
  prefix              = "dogbreed-test"
  account             = { id = "123456789012", partition = "aws", region = "us-east-1" }
  registry_account_id = "763104351884"
  buckets = {
    data      = { arn = "arn:aws:s3:::data" }
    artifacts = { arn = "arn:aws:s3:::artifacts" }
  }
  notebook                 = { instance_type = "ml.t3.medium", volume_gb = 20, idle_minutes = 60, repository_url = null }
  key_arn                  = "arn:aws:kms:us-east-1:123456789012:key/k"
  network                  = null
  permissions_boundary_arn = null
}

run "shut" {
  command = plan
  module { source = "./modules/training" }
  variables {
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/dogbreed-boundary"
  }

  assert {
    condition = (
      aws_sagemaker_notebook_instance.this[0].name == "dogbreed-test-notebook"
      && aws_sagemaker_notebook_instance.this[0].instance_type == "ml.t3.medium"
      && aws_sagemaker_notebook_instance.this[0].volume_size == 20
      && output.notebook_name == "dogbreed-test-notebook"
    )
    error_message = "The notebook is what was asked for."
  }
  assert {
    condition     = aws_sagemaker_notebook_instance.this[0].kms_key_id == "arn:aws:kms:us-east-1:123456789012:key/k"
    error_message = "Its volume is encrypted with the project's key."
  }
  assert {
    condition     = aws_sagemaker_notebook_instance.this[0].root_access == "Disabled"
    error_message = "Who uses it is not root, and cannot stop the watchman."
  }
  assert {
    condition     = aws_sagemaker_notebook_instance.this[0].instance_metadata_service_configuration[0].minimum_instance_metadata_service_version == "2"
    error_message = "The role's credentials are given for a token only."
  }
  assert {
    condition     = aws_sagemaker_notebook_instance.this[0].direct_internet_access == "Enabled" && aws_sagemaker_notebook_instance.this[0].subnet_id == null
    error_message = "Without a network of ours it has SageMaker's."
  }
  assert {
    condition     = aws_iam_role.notebook[0].permissions_boundary == "arn:aws:iam::123456789012:policy/dogbreed-boundary"
    error_message = "Its role has the boundary."
  }
}

run "none" {
  command = plan
  module { source = "./modules/training" }
  variables {
    notebook = null
  }

  assert {
    condition = (
      length(aws_sagemaker_notebook_instance.this) == 0
      && length(aws_sagemaker_notebook_instance_lifecycle_configuration.this) == 0
      && length(aws_iam_role.notebook) == 0
      && length(aws_iam_role_policy.notebook) == 0
      && output.notebook_name == null
    )
    error_message = "No notebook, and no role without one."
  }
}

run "stops_when_idle" {
  command = plan
  module { source = "./modules/training" }
  variables {
    notebook = { instance_type = "ml.t3.medium", volume_gb = 20, idle_minutes = 45, repository_url = null }
  }

  assert {
    condition     = aws_sagemaker_notebook_instance.this[0].lifecycle_config_name == aws_sagemaker_notebook_instance_lifecycle_configuration.this[0].name
    error_message = "The notebook runs the scripts."
  }
  assert {
    condition     = strcontains(base64decode(aws_sagemaker_notebook_instance_lifecycle_configuration.this[0].on_start), file("./modules/training/scripts/stop_when_idle.py"))
    error_message = "What was tested is what is installed, to the letter."
  }
  assert {
    condition     = strcontains(base64decode(aws_sagemaker_notebook_instance_lifecycle_configuration.this[0].on_start), "stop_when_idle.py 'dogbreed-test-notebook' 'us-east-1' '45'\n")
    error_message = "It is told which notebook to stop, and after how long."
  }
  assert {
    condition     = length(aws_sagemaker_notebook_instance_lifecycle_configuration.this[0].on_start) <= 16384
    error_message = "SageMaker takes no longer script."
  }
  assert {
    condition     = aws_sagemaker_notebook_instance_lifecycle_configuration.this[0].on_create == null
    error_message = "Without a repository nothing is cloned."
  }
}

run "clones" {
  command = plan
  module { source = "./modules/training" }
  variables {
    notebook = { instance_type = "ml.t3.medium", volume_gb = 20, idle_minutes = 60, repository_url = "https://github.com/someone/dogbreed" }
  }

  assert {
    condition     = strcontains(base64decode(aws_sagemaker_notebook_instance_lifecycle_configuration.this[0].on_create), "runuser -u ec2-user -- git clone --quiet -- 'https://github.com/someone/dogbreed'\n")
    error_message = "The clone belongs to who works with it."
  }
}

run "in_private_network" {
  command = plan
  module { source = "./modules/training" }
  variables {
    network = {
      subnet_ids         = ["subnet-a", "subnet-b"]
      security_group_ids = ["sg-1"]
      policy_json        = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"SeeNetwork\",\"Effect\":\"Allow\",\"Action\":\"ec2:DescribeVpcs\",\"Resource\":\"*\"}]}"
    }
  }

  assert {
    condition = (
      aws_sagemaker_notebook_instance.this[0].direct_internet_access == "Disabled"
      && aws_sagemaker_notebook_instance.this[0].subnet_id == "subnet-a"
      && aws_sagemaker_notebook_instance.this[0].security_groups == toset(["sg-1"])
    )
    error_message = "In a private network there is no way round it."
  }
  assert {
    condition     = contains([for statement in jsondecode(data.aws_iam_policy_document.notebook.json).Statement : statement.Sid], "SeeNetwork")
    error_message = "Its role may attach it to the network."
  }
  assert {
    condition = [for statement in jsondecode(data.aws_iam_policy_document.notebook.json).Statement : statement.Condition if statement.Sid == "StartTrainingJobs"] == [
      { "ForAnyValue:StringEquals" = { "sagemaker:VpcSubnets" = ["subnet-a", "subnet-b"] } }
    ]
    error_message = "The jobs that it starts stay in the network, too."
  }
}

run "role" {
  command = plan
  module { source = "./modules/training" }

  assert {
    condition = { for statement in jsondecode(data.aws_iam_policy_document.notebook.json).Statement :
      statement.Sid => jsonencode([sort(flatten([statement.Action])), sort(flatten([statement.Resource])), lookup(statement, "Condition", null)])
      } == { for sid, allowed in {
        ListDatasets         = [["s3:ListBucket"], ["arn:aws:s3:::data"], { StringLike = { "s3:prefix" = "datasets/*" } }]
        ReadAndWriteDatasets = [["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::data/datasets/*"], null]
        ListSourcesAndRuns   = [["s3:ListBucket"], ["arn:aws:s3:::artifacts"], { StringLike = { "s3:prefix" = ["source/*", "runs/*", "wheels/*"] } }]
        ReadAndWriteSources  = [["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::artifacts/source/*"], null]
        ReadRuns             = [["s3:GetObject"], ["arn:aws:s3:::artifacts/runs/*"], null]
        UseBucketKey         = [["kms:Decrypt", "kms:GenerateDataKey"], ["arn:aws:kms:us-east-1:123456789012:key/k"], { StringEquals = { "kms:ViaService" = "s3.us-east-1.amazonaws.com" } }]
        StartTrainingJobs = [
          ["sagemaker:CreateHyperParameterTuningJob", "sagemaker:CreateTrainingJob"],
          ["arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/search-*", "arn:aws:sagemaker:us-east-1:123456789012:training-job/run-*"],
          null,
        ]
        WatchTrials = [["sagemaker:DescribeTrainingJob"], ["arn:aws:sagemaker:us-east-1:123456789012:training-job/search-*"], null]
        WatchAndStopSearches = [
          ["sagemaker:DescribeHyperParameterTuningJob", "sagemaker:ListTrainingJobsForHyperParameterTuningJob", "sagemaker:StopHyperParameterTuningJob"],
          ["arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/search-*"],
          null,
        ]
        WatchAndStopTrainingJobs = [["sagemaker:AddTags", "sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob"], ["arn:aws:sagemaker:us-east-1:123456789012:training-job/run-*"], null]
        HandTrainingRoleToSageMaker = [
          ["iam:PassRole"],
          ["arn:aws:iam::123456789012:role/dogbreed-test-training"],
          { StringEquals = { "iam:PassedToService" = "sagemaker.amazonaws.com" } },
        ]
        FindTrainingLogs = [
          ["logs:DescribeLogStreams"],
          ["arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/TrainingJobs", "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/TrainingJobs:*"],
          null,
        ]
        ReadTrainingLogs = [["logs:GetLogEvents"], ["arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/TrainingJobs:log-stream:run-*"], null]
        StartOwnLogs = [
          ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams"],
          ["arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/NotebookInstances", "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/NotebookInstances:*"],
          null,
        ]
        WriteOwnLogs = [["logs:PutLogEvents"], ["arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/NotebookInstances:log-stream:dogbreed-test-notebook/*"], null]
        StopItself   = [["sagemaker:StopNotebookInstance"], ["arn:aws:sagemaker:us-east-1:123456789012:notebook-instance/dogbreed-test-notebook"], null]
      } : sid => jsonencode(allowed)
    }
    error_message = "The notebook's role may do more, or less, than it is meant to."
  }
  assert {
    condition     = aws_iam_role.this.name == "dogbreed-test-training"
    error_message = "The role that the notebook may hand on is the training jobs'."
  }
  assert {
    condition     = jsondecode(aws_iam_role.notebook[0].assume_role_policy).Statement[0].Condition == { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    error_message = "SageMaker may use the role for this account alone."
  }
}
