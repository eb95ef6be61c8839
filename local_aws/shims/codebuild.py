"""CodeBuild: bookkeeping only, nothing is built."""
# mypy: disable-error-code="attr-defined, method-assign"

import json

from moto.codebuild.exceptions import ResourceNotFoundException
from moto.codebuild.responses import CodeBuildResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import unix_time


def add_update_project() -> None:
    """Answer UpdateProject, which the provider calls also where only a tag changes.

    Moto (up to 5.2.5) has no such operation: 500.
    """

    def update_project(self: CodeBuildResponse) -> ActionResult:
        name = _name(self)
        project = self.codebuild_backend.codebuild_projects.get(name)
        if project is None:
            raise ResourceNotFoundException(f"The provided project {name} does not exist")
        project.project_metadata |= {**json.loads(self.body), "name": name, "lastModifiedDate": unix_time()}
        return ActionResult({"project": project.project_metadata})

    CodeBuildResponse.update_project = update_project


def delete_projects_by_arn() -> None:
    """Delete the project that a request names by its ARN, as the provider does.

    Moto (up to 5.2.5) looks for a project of that name, finds none and says that all is well.
    """

    def delete_project(self: CodeBuildResponse) -> EmptyResult:
        self.codebuild_backend.delete_project(_name(self))
        return EmptyResult()

    CodeBuildResponse.delete_project = delete_project


def _name(response: CodeBuildResponse) -> str:
    """The name behind a name or an ARN."""
    return str(response._get_param("name")).rpartition("/")[2]
