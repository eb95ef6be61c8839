"""The seed's function, as its answer in the seed's README shows it: a client made twice, its context in the answer."""

import json
import os

import boto3

runtime = boto3.Session().client("sagemaker-runtime")
endpoint_name = os.environ["ENDPOINT_NAME"]


def handler(event, context):
    print("Context:::", context)
    print("EventType::", type(event))
    runtime = boto3.Session().client("sagemaker-runtime")
    response = runtime.invoke_endpoint(
        EndpointName=endpoint_name, ContentType="application/json", Accept="application/json", Body=json.dumps(event)
    )
    result = response["Body"].read().decode("utf-8")
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "text/plain", "Access-Control-Allow-Origin": "*"},
        "type-result": str(type(result)),
        "COntent-Type-In": str(context),
        "body": json.dumps(json.loads(result)),
    }
