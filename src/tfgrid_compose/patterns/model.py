"""The pattern contract: what `pattern.yaml` may say."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

CONTRACT = 1
# The part of the context that holds random values.
GENERATED = "generated"


class PatternModel(BaseModel):
    """Base of the contract's models: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sizes(PatternModel):
    """Sizes that a role has when neither app nor user says otherwise."""

    cpu: int = Field(2, ge=1, le=32, description="Cores.")
    memory: int = Field(2048, ge=256, description="Memory in MB.")
    disk: int = Field(20, ge=1, description="Root disk in GB.")


class Role(PatternModel):
    """A kind of machine that the pattern makes."""

    description: str = Field("", description="What machines of this role do.")
    count: int = Field(1, ge=0, le=100, description="How many there are by default.")
    groups: list[str] = Field(default_factory=list, description="Ansible groups, besides the role's own name.")
    hooks: bool = Field(False, description="The app's hooks run on machines of this role.")
    disks: bool = Field(False, description="Gets the manifest's data disks.")
    defaults: Sizes = Field(default_factory=Sizes, description="Sizes by default.")


class Generated(PatternModel):
    """Random bytes, made once per deployment and kept encrypted."""

    bytes: int = Field(ge=1, le=64, description="How many bytes; Terraform gets them in hex.")


class PatternCommand(PatternModel):
    """A command that the pattern brings for every app."""

    description: str = Field("", description="Shown in the list of commands.")
    run: str = Field(description="Shell command on the machine that has the hooks.")


class Pattern(PatternModel):
    """`pattern.yaml`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="Name of the pattern.")
    version: str = Field(description="Version of the pattern.")
    description: str = Field(description="One sentence.")
    contract: int = Field(CONTRACT, ge=1, le=CONTRACT, description="Version of the pattern contract.")
    roles: dict[str, Role] = Field(min_length=1, description="Kinds of machines.")
    generate: dict[str, Generated] = Field(default_factory=dict, description="Random values for Terraform.")
    variables: dict[str, str] = Field(description="Terraform variable: dotted path of its value in the context.")
    options: dict[str, str | int | bool] = Field(
        default_factory=dict, description="Terraform variables that --var may set, with their defaults."
    )
    outputs: list[str] = Field(default_factory=lambda: ["machines"], description="Terraform outputs that are promised.")
    infrastructure: str = Field("infrastructure", description="Folder with the Terraform files.")
    platform: str = Field("platform/site.yml", description="The Ansible playbook.")
    commands: dict[str, PatternCommand] = Field(default_factory=dict, description="Commands for every app.")

    def hook_role(self) -> str:
        """The role on whose first machine the hooks run."""
        return next((name for name, role in self.roles.items() if role.hooks), next(iter(self.roles)))

    def secret_variables(self) -> dict[str, str]:
        """{Terraform variable: dotted path} of those that hold random values, whatever the pattern calls them."""
        return {name: path for name, path in self.variables.items() if path.split(".")[0] == GENERATED}


def lookup(context: dict[str, Any], path: str) -> Any:
    """The value at a dotted path of the context. Raises `KeyError` with the part that is missing."""
    value: Any = context
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            raise KeyError(part)
        value = value[part]
    return value
