"""Functions, and the APIs in front of them."""

import io
import json
import zipfile
from typing import Final

from matrix.playbook import Api, Form, From, Raw, Text, Until, any_of, every, holds, like, some, status, value_at


def _zip(source: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py", (2026, 1, 1, 0, 0, 0)), source)
    return target.getvalue()


_ASSUMABLE: Final = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
_LAMBDA_ROLE: Final = Api(
    service="iam",
    operation="CreateRole",
    parameters={"RoleName": "kecs-lambda", "AssumeRolePolicyDocument": _ASSUMABLE},
)
_SOURCE: Final = "def handler(event, context):\n    return {'statusCode': 200, 'body': 'ran'}\n"
_FUNCTION: Final = Api(
    service="lambda",
    operation="CreateFunction",
    parameters={
        "FunctionName": "kecs-function",
        "Runtime": "python3.13",
        "Role": From(_LAMBDA_ROLE, "Role.Arn"),
        "Handler": "app.handler",
        "Code": {"ZipFile": _zip(_SOURCE)},
    },
)
_CODE: Final = Api(service="lambda", operation="GetFunction", parameters={"FunctionName": "kecs-function"})
_FUNCTION_THERE: Final = Until(
    ask=Api(service="lambda", operation="GetFunction", parameters={"FunctionName": "kecs-function"}),
    right=lambda given: "it is made" if value_at(given, "Configuration.State") == "Pending" else "",
)
_FUNCTION_URL: Final = Api(
    service="lambda",
    operation="CreateFunctionUrlConfig",
    parameters={"FunctionName": "kecs-function", "AuthType": "NONE"},
)
_FUNCTION_HOST: Final = From(_FUNCTION_URL, "FunctionUrl", lambda url: url.split("/")[2])
_REST: Final = Api(service="apigateway", operation="CreateRestApi", parameters={"name": "kecs-api"})
_REST_ID: Final = From(_REST, "id")
_ROOT: Final = Api(service="apigateway", operation="GetResources", parameters={"restApiId": _REST_ID})
_REST_METHOD: Final = {"restApiId": _REST_ID, "resourceId": From(_ROOT, "items.0.id"), "httpMethod": "GET"}
_REST_STEPS: Final = (
    _REST,
    _ROOT,
    Api(service="apigateway", operation="PutMethod", parameters={**_REST_METHOD, "authorizationType": "NONE"}),
    Api(
        service="apigateway",
        operation="PutIntegration",
        parameters={**_REST_METHOD, "type": "MOCK", "requestTemplates": {"application/json": '{"statusCode": 200}'}},
    ),
    Api(service="apigateway", operation="PutMethodResponse", parameters={**_REST_METHOD, "statusCode": "200"}),
    Api(
        service="apigateway",
        operation="PutIntegrationResponse",
        parameters={
            **_REST_METHOD,
            "statusCode": "200",
            "responseTemplates": {"application/json": '{"mock": true}'},
        },
    ),
    Api(service="apigateway", operation="CreateDeployment", parameters={"restApiId": _REST_ID, "stageName": "dev"}),
)
_HTTP_API: Final = Api(
    service="apigatewayv2", operation="CreateApi", parameters={"Name": "kecs-http", "ProtocolType": "HTTP"}
)
FUNCTIONS: Final = (
    Form(
        name="Lambda: CreateFunction",
        ask=_FUNCTION,
        right=like("FunctionArn", r"^arn:aws:lambda:us-east-1:\d{12}:function:kecs-function$"),
        after=(_LAMBDA_ROLE,),
    ),
    Form(
        name="Lambda: where the code is",
        ask=_CODE,
        right=like("Code.Location", r"^https://[\w.-]+\.amazonaws\.com/"),
        after=(_LAMBDA_ROLE, _FUNCTION),
    ),
    Form(
        name="Lambda: the code, fetched",
        ask=Raw(
            method="GET",
            host=From(_CODE, "Code.Location", lambda url: url.split("/")[2]),
            target=From(_CODE, "Code.Location", lambda url: "/" + url.split("/", 3)[3]),
        ),
        right=every(status(200), like("body", "^PK")),
        after=(_LAMBDA_ROLE, _FUNCTION, _CODE),
    ),
    Form(
        name="Lambda: Invoke",
        ask=Api(service="lambda", operation="Invoke", parameters={"FunctionName": "kecs-function"}),
        right=like("Payload", "ran"),
        after=(_LAMBDA_ROLE, _FUNCTION, _FUNCTION_THERE),
    ),
    Form(
        name="Lambda: function URL",
        ask=_FUNCTION_URL,
        right=like("FunctionUrl", r"^https://[a-z0-9]+\.lambda-url\.us-east-1\.on\.aws/$"),
        after=(_LAMBDA_ROLE, _FUNCTION),
    ),
    Form(
        name="Lambda: request to the function URL",
        ask=Raw(method="GET", host=Text("{}", (_FUNCTION_HOST,)), target="/x"),
        right=every(status(200), holds("body", b"ran")),
        after=(_LAMBDA_ROLE, _FUNCTION, _FUNCTION_THERE, _FUNCTION_URL),
    ),
    Form(
        name="API Gateway v1: CreateRestApi",
        ask=_REST,
        right=some("id"),
    ),
    Form(
        name="API Gateway v1: request to the API",
        ask=Raw(method="GET", host=Text("{}.execute-api.us-east-1.amazonaws.com", (_REST_ID,)), target="/dev/"),
        right=every(status(200), like("body", "mock")),
        after=_REST_STEPS,
    ),
    Form(
        name="API Gateway: request to an API that is not there",
        ask=Raw(method="GET", host="zzzzzzzzzz.execute-api.us-east-1.amazonaws.com", target="/dev/"),
        right=any_of(403, 404, 501),
    ),
    Form(
        name="API Gateway v2: CreateApi",
        ask=_HTTP_API,
        right=like("ApiEndpoint", r"^https://\w+\.execute-api\.us-east-1\.amazonaws\.com$"),
    ),
    Form(
        name="AppSync: CreateGraphqlApi",
        ask=Api(
            service="appsync",
            operation="CreateGraphqlApi",
            parameters={"name": "kecs", "authenticationType": "API_KEY"},
        ),
        right=like("graphqlApi.uris.GRAPHQL", r"^https://[\w-]+\.appsync-api\.us-east-1\.amazonaws\.com/graphql$"),
    ),
)
