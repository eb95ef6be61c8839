# The commands of this project. `make` alone lists them; README.md says how they belong together.

SHELL := /bin/bash
.DEFAULT_GOAL := help

ENV ?= local
DATASET ?= dogs
JOBS ?= 10
ENVIRONMENTS := $(basename $(notdir $(wildcard terraform/environments/*.tfvars)))
ifeq ($(findstring |$(ENV)|,$(foreach name,$(ENVIRONMENTS),|$(name)|)),)
$(error There is no environment '$(ENV)': ENV is one of $(ENVIRONMENTS))
endif
# What users give reaches the recipes as environment variables ("$$DATA"): no shell ever reads it as a command.
export ENV DATA DATASET IMAGE JSON TRACE RUN ARGS PORT CONFIRM CODE LOCK TESTS ROUNDS USERS SECONDS RATE TRAFFIC \
	INSTANCES INSTANCE_TYPE SPOT ISOLATED BACKBONE WEIGHTS EPOCHS RESUME JOBS MAX_SECONDS COMMIT

LOCAL_AWS_HOME ?= build/local_aws
override LOCAL_AWS_HOME := $(abspath $(LOCAL_AWS_HOME))
export LOCAL_AWS_HOME
export PYTHONPATH := $(CURDIR)

PYTHON := .venv/bin/python
PACKAGES := $(CURDIR)/build/packages
# What belongs to one environment. The stand-in keeps its own, so that it goes when the stand-in goes.
STATE := $(if $(filter local,$(ENV)),$(LOCAL_AWS_HOME)/environment,$(CURDIR)/build/$(ENV))
OUTPUTS := $(STATE)/outputs.json
IN_CLOUD := ops/in_cloud.sh $(ENV)

TERRAFORM := ops/terraform.sh
COMMIT := $(or $(shell git describe --always --dirty --abbrev=7 --exclude='*' 2>/dev/null),unknown)
VARIABLES := -input=false -var-file=environments/$(ENV).tfvars \
	-var=function_package=$(PACKAGES)/function.zip -var=commit=$(COMMIT)
export TF_DATA_DIR := $(STATE)/terraform
export TF_PLUGIN_CACHE_DIR ?= $(CURDIR)/build/terraform-plugins
export TF_IN_AUTOMATION := true

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "; print "usage: make TARGET [ENV=local|dev|prod]\n"} \
		/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/installed: requirements.txt requirements-uv.txt
	@ops/check_tools.sh
	@echo "Installing the Python packages into .venv (once; about 8 GB, most of it PyTorch)" >&2
	@python3 -m venv .venv
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@.venv/bin/uv pip install --quiet --python $(PYTHON) --compile-bytecode --require-hashes -r requirements.txt
	@touch $@

# iam-simulate, which the tests of policies ask, axe, which looks at the page, and autocannon, which loads servers; npm
# comes with the Python packages.
NODE_MODULES := tests/iam/node_modules/.package-lock.json tests/page/node_modules/.package-lock.json
LOAD_GENERATOR := tests/benchmarks/node_modules/.package-lock.json
$(NODE_MODULES) $(LOAD_GENERATOR): tests/%/node_modules/.package-lock.json: tests/%/package-lock.json .venv/installed
	@.venv/bin/npm ci --prefix tests/$* --ignore-scripts --no-audit --no-fund --silent

# checkov pins an old boto3.
.venv-checkov/installed: requirements-checkov.txt .venv/installed
	@python3 -m venv .venv-checkov
	@.venv/bin/uv pip install --quiet --python .venv-checkov/bin/python --require-hashes -r requirements-checkov.txt
	@touch $@

# The seed's server: what its lock names, and all the rest, PyTorch above all, from .venv.
.venv-torchserve/installed: requirements-torchserve.txt .venv/installed
	@python3 -m venv .venv-torchserve
	@.venv/bin/uv pip install --quiet --python .venv-torchserve/bin/python --no-deps --require-hashes \
		-r requirements-torchserve.txt
	@$(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		>"$$(.venv-torchserve/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/rest.pth"
	@touch $@

.PHONY: setup
setup: .venv/installed ## install what the project needs into .venv
	@ops/check_tools.sh

.PHONY: lock
lock: setup ## resolve the requirements afresh, here, for checkov, TorchServe, training, serving and what runs on Node
	@in_image=$$(grep -oE '^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==' requirements.txt); \
	for name in requirements requirements-checkov "--no-deps requirements-torchserve" \
		"--constraint requirements.txt inference/requirements" \
		"$$(printf -- '--no-emit-package %s ' $${in_image//==/}) --constraint requirements.txt training/requirements"; do \
		.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
			$$name.in -o $${name##* }.txt; done
	@for folder in tests/iam tests/page tests/benchmarks; do .venv/bin/npm install --prefix $$folder --package-lock-only \
		--ignore-scripts --omit-lockfile-registry-resolved --silent; \
		$(PYTHON) -m tests.without_funding $$folder/package-lock.json; done

.PHONY: up
up: setup ## start the stand-in cloud on this machine [PORT=<one of your own>]
	@$(PYTHON) -m local_aws up --port "$${PORT:-0}"

.PHONY: down
down: setup ## stop the stand-in cloud; all that is in it goes with it
	@$(PYTHON) -m local_aws down

.PHONY: env
env: setup ## print what points an AWS client at the stand-in: eval "$(make -s env)"
	@$(PYTHON) -m local_aws env

.PHONY: packages
packages: setup
	@$(PYTHON) -m ops.package $(PACKAGES)

.PHONY: bootstrap
bootstrap: setup ## once per AWS account: the bucket for state, and the roles for GitHub
	@$(IN_CLOUD) env TF_DATA_DIR=$(STATE)/bootstrap ops/bootstrap.sh $(ENV)

.PHONY: init
init: setup
	@QUIET=1 $(IN_CLOUD) ops/terraform_init.sh terraform -backend-config=environments/$(ENV).s3.tfbackend

.PHONY: plan
plan: init packages ## show what `make infra` would change [CODE=<file> for 0: nothing, 2: changes]
	@$(IN_CLOUD) $(TERRAFORM) plan -detailed-exitcode $(VARIABLES); code=$$?; \
		[ -z "$$CODE" ] || echo $$code >"$$CODE"; [ $$code = 0 ] || [ $$code = 2 ]

.PHONY: infra
infra: init packages ## provision everything with Terraform
	@$(IN_CLOUD) $(TERRAFORM) apply -auto-approve $(VARIABLES)
	@QUIET=1 $(IN_CLOUD) $(TERRAFORM) output -json >$(OUTPUTS).part
	@mv $(OUTPUTS).part $(OUTPUTS)

.PHONY: image
image: setup ## build the serving image in AWS; what it is built from decides its tag
	@$(IN_CLOUD) $(PYTHON) -m ops.image --outputs $(OUTPUTS)

.PHONY: data
data: setup ## check a folder of photographs and upload it: DATA=<folder> [DATASET=dogs]
	@$(IN_CLOUD) $(PYTHON) -m ops.upload --outputs $(OUTPUTS) --dataset "$$DATASET" --folder "$$DATA"

.PHONY: train-sagemaker
train-sagemaker: packages ## train on SageMaker [EPOCHS=] [INSTANCES=2] [INSTANCE_TYPE=] [SPOT=1] [ISOLATED=1] [RESUME=<run>] …
	@$(IN_CLOUD) $(PYTHON) -m ops.train --outputs $(OUTPUTS) --source $(PACKAGES)/source.tar.gz \
		--dataset "$$DATASET" -- $$ARGS

.PHONY: train-ec2
train-ec2: packages ## train on an EC2 instance of its own [EPOCHS=] [INSTANCE_TYPE=] [MAX_SECONDS=21600] [RUN=<run id>] [ARGS=…]
	@$(IN_CLOUD) $(PYTHON) -m ops.train_ec2 --outputs $(OUTPUTS) --source $(PACKAGES)/source.tar.gz \
		--dataset "$$DATASET" --state $(STATE)/ec2_run --run "$$RUN" -- $$ARGS

.PHONY: end-ec2
end-ec2: setup ## take away what a training on EC2 left that was itself killed: RUN=<run id>
	@$(IN_CLOUD) $(PYTHON) -m ops.train_ec2 --outputs $(OUTPUTS) --state $(STATE)/ec2_run --run "$$RUN" --end

.PHONY: tune
tune: packages ## search hyperparameters by validation; train and test with the best [JOBS=10] [ARGS=…]
	@$(IN_CLOUD) $(PYTHON) -m ops.tune --outputs $(OUTPUTS) --source $(PACKAGES)/source.tar.gz \
		--dataset "$$DATASET" --jobs="$$JOBS" -- $$ARGS

.PHONY: deploy
deploy: init packages ## serve a trained model: the newest, or RUN=<run id>
	@$(IN_CLOUD) $(PYTHON) -m ops.release deploy --outputs $(OUTPUTS) --run "$$RUN" -- $(TERRAFORM) $(VARIABLES)

.PHONY: releases
releases: setup ## list the releases: trained when, how good, deployed when, in service or not
	@$(IN_CLOUD) $(PYTHON) -m ops.releases --outputs $(OUTPUTS)

.PHONY: rollback
rollback: init packages ## go back to the release before, or to RUN=<run id>
	@$(IN_CLOUD) $(PYTHON) -m ops.release rollback --outputs $(OUTPUTS) --run "$$RUN" -- $(TERRAFORM) $(VARIABLES)

.PHONY: stop
stop: init packages ## take the endpoint away and keep every release, until `make start`
	@$(IN_CLOUD) $(PYTHON) -m ops.release stop --outputs $(OUTPUTS) -- $(TERRAFORM) $(VARIABLES)

.PHONY: start
start: init packages ## bring the endpoint back, with the instances that it had
	@$(IN_CLOUD) $(PYTHON) -m ops.release start --outputs $(OUTPUTS) -- $(TERRAFORM) $(VARIABLES)

.PHONY: predict
predict: setup ## ask the function for the breed on a photograph: IMAGE=<file> [TRACE=1: and where its milliseconds went]
	@$(IN_CLOUD) $(PYTHON) -m ops.predict --outputs $(OUTPUTS) --json "$$JSON" --image "$$IMAGE" --trace "$$TRACE"

.PHONY: cost
cost: init packages ## what the plan costs a month, idle, and a million predictions; beside the seed's set-up
	@$(IN_CLOUD) $(PYTHON) -m ops.cost --environment $(ENV) -- $(TERRAFORM) $(VARIABLES)

.PHONY: page
page: setup ## show the page in a browser: signs what it asks, with your credentials [PORT=8000]
	@$(IN_CLOUD) $(PYTHON) -m ops.page --outputs $(OUTPUTS) --port "$${PORT:-8000}"

.PHONY: load-test
load-test: setup ## load ENV's function and report [USERS=5] [SECONDS=30] [RATE=<requests a second>] [IMAGE=<file>]
	@$(IN_CLOUD) $(PYTHON) -m tests.benchmarks.load --outputs $(OUTPUTS) --image "$$IMAGE"

.PHONY: capacity
capacity: setup ## what a traffic needs, costs and meets while it scales [TRAFFIC=<requests a second>]
	@$(PYTHON) -m tests.benchmarks.capacity

.PHONY: doctor
doctor: .venv/installed ## say what is not ready on this machine and in ENV's account, and what to do about it
	@$(PYTHON) -m ops.doctor --outputs $(OUTPUTS)

.PHONY: audit
audit: setup ## look for what is too open, allowed too much or not used any more [CODE=<file> for 0: none, 2: findings, 1: neither]
	@$(IN_CLOUD) $(PYTHON) -m ops.audit --outputs $(OUTPUTS); code=$$?; [ -z "$$CODE" ] || echo $$code >"$$CODE"; exit $$code

.PHONY: destroy
destroy: init packages ## take everything away again: lists it, asks (CONFIRM=yes does not), names what is left over
	@$(IN_CLOUD) $(PYTHON) -m ops.destroy --outputs $(OUTPUTS) --confirm "$$CONFIRM" -- $(TERRAFORM) $(VARIABLES)

.PHONY: unlock
unlock: init ## free the state from the lock of a run that died: LOCK=<id>
	@[ -n "$$LOCK" ] || { echo "Say which lock: LOCK=<the id that the refused command named>." >&2; exit 1; }
	@$(IN_CLOUD) $(TERRAFORM) force-unlock -force "$$LOCK"

.PHONY: demo
demo: setup ## the whole path on this machine [DATA=<folder of photographs>]
	@$(PYTHON) -m local_aws.demo --data "$$DATA"

.PHONY: test
test: setup $(NODE_MODULES) .venv-checkov/installed ## run the tests [TESTS=<files or pytest options>]
	@# A thread each: PyTorch's would wait for one another, busily, while two workers share two cores.
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 --dist loadgroup $$TESTS

.PHONY: verify
verify: setup $(NODE_MODULES) .venv-torchserve/installed ## run what is sampled in the tests with its full counts, and print the figures [TESTS=…]
	@$(PYTHON) -m pytest --full -m "counts or full" --timeout 1800 $$TESTS

.PHONY: bench-serving
bench-serving: setup .venv-torchserve/installed $(LOAD_GENERATOR) ## measure the endpoint beside the seed's [DATA=<folder>] [ROUNDS=3]
	@$(PYTHON) -m tests.benchmarks.serving --data "$$DATA" --rounds "$${ROUNDS:-3}"

.PHONY: bench-function
bench-function: setup ## measure the function under Lambda's runtime beside the seed's [ROUNDS=15]
	@$(PYTHON) -m tests.benchmarks.function --rounds "$${ROUNDS:-15}"

.PHONY: bench-training
bench-training: setup ## measure the training beside the seed's: DATA=<folder of train, valid and test> (20 minutes)
	@$(PYTHON) -m tests.benchmarks.training --data "$$DATA"

.PHONY: bench-hosts
bench-hosts: setup ## measure what a second host is worth: DATA=<folder of train, valid and test>
	@$(PYTHON) -m tests.benchmarks.hosts --data "$$DATA"

.PHONY: lint
lint: setup ## check style, format and types
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy training inference ops lambda_function local_aws
	@terraform fmt -check -recursive terraform
	@.venv/bin/shellcheck ops/*.sh .github/*.sh
	@.venv/bin/hadolint inference/Dockerfile
	@.venv/bin/zizmor --offline --quiet .github

.PHONY: checkov
checkov: .venv-checkov/installed ## hold terraform/ against checkov's checks
	@.venv-checkov/bin/checkov --config-file .checkov.yaml
