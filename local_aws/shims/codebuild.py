"""CodeBuild: bookkeeping only, nothing is built."""
# mypy: disable-error-code="attr-defined"

import json

from moto.codebuild.exceptions import ResourceNotFoundException
from moto.codebuild.responses import CodeBuildResponse
from moto.core.responses import ActionResult
from moto.core.utils import unix_time


def add_update_project() -> None:
    """Answer UpdateProject, which the provider calls also where only a tag changes.

    Moto (up to 5.2.5) has no such operation: 500.
    """

    def update_project(self: CodeBuildResponse) -> ActionResult:
        name = self._get_param("name")
        project = self.codebuild_backend.codebuild_projects.get(name)
        if project is None:
            raise ResourceNotFoundException(f"The provided project {name} does not exist")
        project.project_metadata |= {**json.loads(self.body), "lastModifiedDate": unix_time()}
        return ActionResult({"project": project.project_metadata})

    CodeBuildResponse.update_project = update_project
