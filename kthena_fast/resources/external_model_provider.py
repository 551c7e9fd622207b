"""ExternalModelProvider: a model behind somebody else's HTTPS API."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from kthena_fast.resources import rules
from kthena_fast.resources.metadata import ObjectMeta
from kthena_fast.resources.value import Resource, StringMap, Value, frozen_map


class SecretKeySelector(Value):
    """A key of a Secret in the same namespace."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    name: str = Field(
        "",
        description="Name of the Secret, which must carry the label "
        'networking.serving.volcano.sh/external-model-provider-credential: "true".',
    )
    key: str = Field(description="Key in the Secret whose value is the credential.")
    optional: bool | None = Field(None, description="Must be absent or false: a provider's credential is not optional.")


class Auth(Value):
    """The credential that is sent to the provider."""

    model_config = ConfigDict(json_schema_extra=rules.schema(rules.SECRET_NOT_OPTIONAL))

    scheme: Literal["Bearer", "APIKey"] | None = Field(
        None,
        description="Bearer sends Authorization: Bearer, APIKey sends x-api-key. "
        "Absent: Bearer for OpenAI, APIKey for Anthropic.",
    )
    secret_ref: SecretKeySelector = Field(description="Where the credential is kept.")


class ExternalModelProviderSpec(Value):
    """The desired state of an ExternalModelProvider."""

    provider_type: Literal["OpenAI", "Anthropic"] = Field("OpenAI", description="The API that the provider speaks.")
    model: str | None = Field(
        None,
        description="The model that the provider is asked for. Absent or empty: what the client asked for.",
        max_length=256,
    )
    base_url: str = Field(
        alias="baseURL",
        description="Where the provider's API is; the path of a request is appended. Without user, query or fragment.",
        min_length=1,
        pattern="^https://.+",
    )
    insecure_skip_verify: bool = Field(
        False, description="Accepts any certificate and any host name from the provider. For tests only."
    )
    auth: Auth | None = Field(None, description="The credential that is sent. Absent: none.")
    headers: StringMap = Field(
        default_factory=frozen_map, description="Headers that are set on every request to the provider."
    )


class ExternalModelProvider(Resource):
    """A model behind somebody else's HTTPS API, as a target of a ModelRoute."""

    KIND: ClassVar[str] = "ExternalModelProvider"
    API_VERSION: ClassVar[str] = "networking.serving.volcano.sh/v1alpha1"

    metadata: ObjectMeta = Field(description="Standard metadata of the object.")
    spec: ExternalModelProviderSpec = Field(description="The desired state of the ExternalModelProvider.")

    @property
    def rewrite_model(self) -> str | None:
        """What the request's `model` becomes; None: it stays."""
        return self.spec.model or None
