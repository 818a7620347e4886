"""AWS: SMS and spoken calls, through its own SDK (``django-otp-channels[aws]``).

``SMS`` and ``Voice`` use AWS End User Messaging. ``SNS`` is for accounts that may send through
Amazon SNS only. The errors and their meanings:
https://docs.aws.amazon.com/pinpoint/latest/apireference_smsvoicev2/API_SendTextMessage.html and
https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
"""

from __future__ import annotations

import importlib.util
import io
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from django.core import checks
from django.utils.html import escape
from django.views.decorators.debug import sensitive_variables

from ..exceptions import (
    BackendMisconfigured,
    DeliveryError,
    DeliveryRefused,
    DeliveryUnavailable,
    DeliveryUnknown,
    Reason,
)
from ..messages import Message, Receipt
from .base import Backend
from .outcomes import Outcome, fenced, not_so, not_this_one, opted_out

# What an error means for us: its code, and what it says more exactly (its ``Reason``, or the field
# that it names). Without that, or with one that is not here, the line with "" decides; a code that
# is not here at all is judged by its HTTP status.
CODES: Mapping[tuple[str, str], Outcome] = {
    # AWS End User Messaging: the number.
    ("ValidationException", "DestinationPhoneNumber"): DeliveryRefused,
    # The person wrote STOP: another provider must honour that too.
    ("ConflictException", "DESTINATION_PHONE_NUMBER_OPTED_OUT"): opted_out,
    # A country or number that was closed on purpose. Another provider must not open it again.
    ("ValidationException", "COUNTRY_NOT_ENABLED"): fenced,
    ("ValidationException", "DESTINATION_COUNTRY_BLOCKED"): fenced,
    ("ConflictException", "DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION"): fenced,
    (
        "ConflictException",
        "DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE",
    ): fenced,
    # Our account, sender or region, or a request that this package should not have made.
    ("AccessDeniedException", ""): BackendMisconfigured,
    ("AccessDeniedException", "ACCOUNT_DISABLED"): BackendMisconfigured,
    ("AccessDeniedException", "INSUFFICIENT_ACCOUNT_REPUTATION"): BackendMisconfigured,
    ("ConflictException", ""): not_so,
    ("ConflictException", "DESTINATION_PHONE_NUMBER_NOT_VERIFIED"): not_so,  # sandbox
    ("ConflictException", "MESSAGE_TYPE_MISMATCH"): not_so,  # a promotional sender
    ("ConflictException", "NO_ORIGINATION_IDENTITIES_FOUND"): not_so,
    ("ConflictException", "NUMBER_CAPABILITIES_MISMATCH"): not_so,
    ("ConflictException", "PHONE_NUMBER_NOT_IN_REGISTRATION_REGION"): not_so,
    ("ConflictException", "REGISTRATION_NOT_COMPLETE"): not_so,
    ("ConflictException", "RESOURCE_NOT_ACTIVE"): not_so,
    ("ResourceNotFoundException", ""): not_so,  # sender or configuration set
    ("ValidationException", ""): not_so,
    ("ValidationException", "CANNOT_PARSE"): not_so,
    ("ValidationException", "CHANNEL_NOT_ENABLED"): not_so,
    ("ValidationException", "FIELD_VALIDATION_FAILED"): not_so,
    ("ValidationException", "INVALID_ARN"): not_so,
    ("ValidationException", "INVALID_PARAMETER"): not_so,
    ("ValidationException", "INVALID_REQUEST"): not_so,
    ("ValidationException", "MAXIMUM_SIZE_EXCEEDED"): not_so,
    ("ValidationException", "MISSING_PARAMETER"): not_so,
    ("ValidationException", "OTHER"): not_so,
    ("ValidationException", "PARAMETERS_CANNOT_BE_USED_TOGETHER"): not_so,
    ("ValidationException", "RESOURCE_NOT_ACCESSIBLE"): not_so,
    ("ValidationException", "SENDER_ID_NOT_REGISTERED"): not_so,
    ("ValidationException", "SENDER_ID_REQUIRES_REGISTRATION"): not_so,
    ("ValidationException", "UNKNOWN_OPERATION"): not_so,
    ("ValidationException", "UNSPECIFIED_PARAMETER_NOT_SUPPORTED"): not_so,
    ("ValidationException", "VOICE_CAPABILITY_NOT_AVAILABLE"): not_so,
    # The month's budget: nothing more goes out until somebody raises it.
    (
        "ServiceQuotaExceededException",
        "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT",
    ): BackendMisconfigured,
    (
        "ServiceQuotaExceededException",
        "MONTHLY_SPEND_LIMIT_REACHED_FOR_VOICE",
    ): BackendMisconfigured,
    # Not now, or not from this sender to this country.
    ("ServiceQuotaExceededException", ""): not_this_one,
    ("ServiceQuotaExceededException", "DAILY_DESTINATION_CALL_LIMIT"): not_this_one,
    ("ThrottlingException", ""): DeliveryUnavailable,
    ("ValidationException", "COUNTRY_CODE_MISMATCH"): not_this_one,
    ("ValidationException", "INTERNATIONAL_SENDING_NOT_SUPPORTED"): not_this_one,
    ("ValidationException", "INVALID_IDENTITY_FOR_DESTINATION_COUNTRY"): not_this_one,
    ("ValidationException", "PRICE_OVER_THRESHOLD"): not_this_one,
    ("ValidationException", "SENDER_ID_NOT_SUPPORTED"): not_this_one,
    # AWS's own fault: it may have been processed.
    ("InternalServerException", ""): DeliveryUnknown,
    # Amazon SNS.
    ("AuthorizationError", ""): BackendMisconfigured,
    ("EndpointDisabled", ""): not_so,
    ("InvalidParameter", ""): not_so,
    # Said of a number that is wrong, but also of any number in a region that sends no SMS.
    ("InvalidParameter", "PhoneNumber"): not_this_one,
    ("InvalidSecurity", ""): BackendMisconfigured,
    ("KMSAccessDenied", ""): BackendMisconfigured,
    ("KMSDisabled", ""): BackendMisconfigured,
    ("KMSInvalidState", ""): BackendMisconfigured,
    ("KMSNotFound", ""): BackendMisconfigured,
    ("KMSOptInRequired", ""): BackendMisconfigured,
    ("KMSThrottling", ""): DeliveryUnavailable,
    ("NotFound", ""): not_so,
    ("ParameterValueInvalid", ""): not_so,
    ("PlatformApplicationDisabled", ""): not_so,
    ("InternalError", ""): DeliveryUnknown,
    ("Throttled", ""): DeliveryUnavailable,
    # What every service of AWS may say. Credentials, signature, clock:
    ("AccessDenied", ""): BackendMisconfigured,
    ("AuthFailure", ""): BackendMisconfigured,
    ("ExpiredToken", ""): BackendMisconfigured,
    ("ExpiredTokenException", ""): BackendMisconfigured,
    ("IncompleteSignature", ""): BackendMisconfigured,
    ("IncompleteSignatureException", ""): BackendMisconfigured,
    ("InvalidClientTokenId", ""): BackendMisconfigured,
    ("InvalidSignatureException", ""): BackendMisconfigured,
    ("MissingAuthenticationToken", ""): BackendMisconfigured,
    ("MissingAuthenticationTokenException", ""): BackendMisconfigured,
    ("NotAuthorized", ""): BackendMisconfigured,
    ("OptInRequired", ""): BackendMisconfigured,
    ("RequestExpired", ""): BackendMisconfigured,
    ("RequestTimeTooSkewed", ""): BackendMisconfigured,
    ("SignatureDoesNotMatch", ""): BackendMisconfigured,
    ("UnrecognizedClientException", ""): BackendMisconfigured,
    # A request that this package should not have made:
    ("InvalidAction", ""): not_so,
    ("InvalidParameterCombination", ""): not_so,
    ("InvalidParameterValue", ""): not_so,
    ("InvalidQueryParameter", ""): not_so,
    ("MalformedHttpRequestException", ""): not_so,
    ("MalformedQueryString", ""): not_so,
    ("MissingAction", ""): not_so,
    ("MissingParameter", ""): not_so,
    ("RequestEntityTooLargeException", ""): not_so,
    ("SerializationException", ""): not_so,
    ("UnknownOperationException", ""): not_so,
    ("ValidationError", ""): not_so,
    # Not now; never processed:
    ("RequestLimitExceeded", ""): DeliveryUnavailable,
    ("Throttling", ""): DeliveryUnavailable,
    ("TooManyRequestsException", ""): DeliveryUnavailable,
    # AWS's own fault, or a request that broke off on its way: it may have been processed.
    ("InternalFailure", ""): DeliveryUnknown,
    ("RequestAbortedException", ""): DeliveryUnknown,
    ("RequestTimeoutException", ""): DeliveryUnknown,
    ("ServiceUnavailable", ""): DeliveryUnknown,
    ("ServiceUnavailableException", ""): DeliveryUnknown,
}

# Django's language code → a voice of Amazon Polly that AWS calls with, and that speaks it. A
# language without a voice is not here. https://docs.aws.amazon.com/polly/latest/dg/voicelist.html
VOICES: Mapping[str, str] = {
    "ar": "ZEINA",
    "cy": "GWYNETH",
    "da": "NAJA",
    "de": "VICKI",
    "en": "JOANNA",
    "en-au": "NICOLE",
    "en-gb": "AMY",
    "es": "LUCIA",
    "es-mx": "MIA",
    "fr": "LEA",
    "fr-ca": "CHANTAL",
    "is": "DORA",
    "it": "BIANCA",
    "ja": "TAKUMI",
    "ko": "SEOYEON",
    "nb": "LIV",
    "nl": "LOTTE",
    "no": "LIV",
    "pl": "EWA",
    "pt": "INES",
    "pt-br": "CAMILA",
    "ro": "CARMEN",
    "ru": "TATYANA",
    "sv": "ASTRID",
    "tr": "FILIZ",
    "zh": "ZHIYU",
}

MIN_TTL, MAX_TTL = 5, 259200  # seconds; what AWS takes
METADATA_TIMEOUT = 1.0  # seconds; the servers that give out a machine's credentials are near
INSTALL = 'Install it with: pip install "django-otp-channels[aws]"'

# Reasons that say less than the field beside them.
_GENERAL_REASONS = frozenset({"", "FIELD_VALIDATION_FAILED", "INVALID_PARAMETER", "OTHER"})
_PLAIN_CODE = re.compile(r"[A-Za-z]{1,64}", re.ASCII)  # no room for a number or a code


class _AWS(Backend):
    provider: ClassVar[str] = "aws"
    _service: ClassVar[str]
    _needs_sender: ClassVar[bool] = True

    def __init__(
        self,
        *,
        region: str = "",
        sender: str = "",
        access_key_id: str = "",
        secret_access_key: str = "",
        profile: str = "",
    ) -> None:
        self.region = (
            region or os.environ.get("AWS_REGION", "") or os.environ.get("AWS_DEFAULT_REGION", "")
        )
        self.sender = sender
        self.profile = profile
        self._keys = (access_key_id, secret_access_key)
        self._lock = threading.Lock()
        self._ready: tuple[Any, Any] | None = None

    @sensitive_variables()
    def send(self, message: Message, *, timeout: float) -> Receipt:
        """Send through AWS, within ``timeout`` seconds but for the look-up of its name.

        Credentials that have to be asked for are asked for at the first send and when they
        expire, within ``timeout`` too, with two exceptions: to renew those of the machine itself
        may take up to 4 s over it, and a ``credential_process`` as long as it likes. Nothing is
        sent before they are there.
        """
        problems = self.check()
        if problems:
            raise BackendMisconfigured(str(problems[0].msg), code=str(problems[0].id))
        from .transport import bounded

        failure: DeliveryError | BackendMisconfigured | None
        with bounded(timeout) as wire:
            try:
                client = self._connect(wire)
                failure = self._objection(client, message)
                if failure is None:
                    wire.sent = True
                    message_id = self._create(client, message).get("MessageId")
                    if message_id:
                        return Receipt(provider=self.provider, message_id=str(message_id))
                    failure = DeliveryUnknown(code="no-id")
            except Exception as error:  # noqa: BLE001 (not all that the SDK lets out is its own)
                failure = _outcome(error, sent=wire.sent, status=wire.status)
        # Raised here, so that the SDK's error, which quotes the number, is not its context.
        raise failure

    def _objection(self, client: Any, message: Message) -> DeliveryRefused | None:
        """Return why the message must not be sent, where the provider has to be asked that."""
        return None

    def _create(self, client: Any, message: Message) -> Any:
        raise NotImplementedError

    def _connect(self, wire: Any) -> Any:
        """Return the client, made at the first send, with credentials that are good now.

        One thread at a time asks for credentials, so that what fails here certainly sent nothing.
        """
        left = wire.remaining()
        if left <= 0 or not self._lock.acquire(timeout=left):
            raise DeliveryUnavailable(code="no-time")
        try:
            if self._ready is None:
                self._ready = self._new_client(wire.remaining())
            client, credentials = self._ready
            credentials.get_frozen_credentials()  # asks for new ones when these expire
            return client
        finally:
            self._lock.release()

    @sensitive_variables()
    def _new_client(self, seconds: float) -> tuple[Any, Any]:
        import boto3

        core = _new_core(self.region, self.profile, seconds)
        _silence_sdk()
        access_key_id, secret_access_key = self._keys
        session = boto3.Session(
            aws_access_key_id=access_key_id or None,
            aws_secret_access_key=secret_access_key or None,
            botocore_session=core,
        )
        credentials = session.get_credentials()
        if credentials is None:
            raise BackendMisconfigured("AWS's credentials are missing.", code="credentials")
        client = session.client(self._service)
        _silence_sdk()  # once more, for what it has imported by now
        return client, credentials

    @cached_property
    def _profile_region(self) -> str:
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        try:
            return str(Session(profile=self.profile or None).get_config_variable("region") or "")
        except BotoCoreError:  # no such profile, or a file that cannot be read
            return ""

    def check(self) -> Sequence[checks.CheckMessage]:
        """Report a missing SDK (E121), sender (E123), region or half of the keys (W122).

        Whether there are credentials cannot be told without asking the network, where the machine
        gives them out.
        """
        if importlib.util.find_spec("boto3") is None:
            return [
                checks.Error("The AWS SDK is not installed.", hint=INSTALL, id="otp_channels.E121")
            ]
        problems: list[checks.CheckMessage] = []
        # No errors: where the secrets are not (CI, the build of an image) commands must run.
        if any(self._keys) and not all(self._keys):
            problems.append(
                checks.Warning(
                    "One half of AWS's credentials is missing.",
                    hint="Set both 'access_key_id' and 'secret_access_key' in OPTIONS, or neither, "
                    "to have them found where boto3 looks for them.",
                    id="otp_channels.W122",
                )
            )
        if not (self.region or self._profile_region):
            problems.append(
                checks.Warning(
                    "AWS's region is missing.",
                    hint="Set 'region' in OPTIONS, or AWS_REGION in the environment.",
                    id="otp_channels.W122",
                )
            )
        if self._needs_sender and not self.sender:
            problems.append(
                checks.Error(
                    "AWS has no sender to send from.",
                    hint="Set 'sender' in OPTIONS: a number, or the id or ARN of a number, sender "
                    "id or pool of your account.",
                    id="otp_channels.E123",
                )
            )
        return problems


class _EndUserMessaging(_AWS):
    _service = "pinpoint-sms-voice-v2"

    def __init__(
        self,
        *,
        region: str = "",
        sender: str = "",
        configuration_set: str = "",
        access_key_id: str = "",
        secret_access_key: str = "",
        profile: str = "",
    ) -> None:
        super().__init__(
            region=region,
            sender=sender,
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            profile=profile,
        )
        self.configuration_set = configuration_set

    @sensitive_variables()
    def _addressed(self, message: Message) -> dict[str, Any]:
        parameters = {
            "DestinationPhoneNumber": message.to,
            "OriginationIdentity": self.sender,
            # AWS drops a message that waited longer: nobody needs a code that is dead.
            "TimeToLive": max(MIN_TTL, min(message.lifetime, MAX_TTL)),
        }
        if self.configuration_set:
            parameters["ConfigurationSetName"] = self.configuration_set
        return parameters


class SMS(_EndUserMessaging):
    """A text message through AWS End User Messaging.

    Options: ``region``, ``sender`` (a number, sender id or pool), ``configuration_set``, and
    credentials where boto3 does not find them by itself: ``access_key_id`` with
    ``secret_access_key``, or a ``profile``. AWS must allow ``sms-voice:SendTextMessage``.
    """

    channels: ClassVar[frozenset[str]] = frozenset({"sms"})

    @sensitive_variables()
    def _create(self, client: Any, message: Message) -> Any:
        return client.send_text_message(
            MessageBody=message.text, MessageType="TRANSACTIONAL", **self._addressed(message)
        )


class Voice(_EndUserMessaging):
    """A call that speaks the code, a line at a time. Options: as ``SMS``.

    AWS must allow ``sms-voice:SendVoiceMessage``.
    """

    channels: ClassVar[frozenset[str]] = frozenset({"voice"})
    spoken_languages: ClassVar[frozenset[str] | None] = frozenset(
        language.partition("-")[0] for language in VOICES
    )

    @sensitive_variables()
    def _create(self, client: Any, message: Message) -> Any:
        language = message.language.lower()
        voice = VOICES.get(language) or VOICES.get(language.partition("-")[0], VOICES["en"])
        return client.send_voice_message(
            MessageBody=_ssml(message),
            MessageBodyTextType="SSML",
            VoiceId=voice,
            **self._addressed(message),
        )


class SNS(_AWS):
    """A text message through Amazon SNS, for accounts that may send through nothing else.

    SNS is worse at it: it drops no message whose code is dead, and says yes to a number that opted
    out and then sends nothing. So it is asked first whether the number did. Options: as ``SMS``,
    but without ``configuration_set``, and ``sender`` (a number or sender id) may be missing. AWS
    must allow ``sns:Publish`` and ``sns:CheckIfPhoneNumberIsOptedOut``.
    """

    channels: ClassVar[frozenset[str]] = frozenset({"sms"})
    _service = "sns"
    _needs_sender = False

    @sensitive_variables()
    def _objection(self, client: Any, message: Message) -> DeliveryRefused | None:
        answer = client.check_if_phone_number_is_opted_out(phoneNumber=message.to)
        return (
            DeliveryRefused(code="opted-out", reason=Reason.OPTED_OUT)
            if answer.get("isOptedOut")
            else None
        )

    @sensitive_variables()
    def _create(self, client: Any, message: Message) -> Any:
        attributes = {"AWS.SNS.SMS.SMSType": "Transactional"}
        if self.sender.removeprefix("+").isdecimal():
            attributes["AWS.MM.SMS.OriginationNumber"] = self.sender
        elif self.sender:
            attributes["AWS.SNS.SMS.SenderID"] = self.sender
        return client.publish(
            PhoneNumber=message.to,
            Message=message.text,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
            },
        )


@sensitive_variables()
def _ssml(message: Message) -> str:
    lines = (str(escape(line)) for line in message.text.splitlines())
    return "<speak>" + '<break time="1s"/>'.join(lines) + "</speak>"


def _new_core(region: str, profile: str, seconds: float) -> Any:
    """Return a botocore session whose requests all go over our transport, once and in time.

    Those for credentials too, but for the servers that give out a machine's own, which botocore
    asks in a way of its own: they are given ``seconds`` together, and no second try.
    """
    from botocore import credentials, utils
    from botocore.config import Config
    from botocore.session import Session

    from .transport import CONNECT_TIMEOUT, READ_TIMEOUT

    core = Session(profile=profile or None)
    if region:
        core.set_config_variable("region", region)
    core.set_default_client_config(
        Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"total_max_attempts": 1},
        )
    )
    core.register("before-send", _carrier(core))

    # Four waits at most: to connect and to read, for a token and for the name of the role.
    patience = max(0.1, min(METADATA_TIMEOUT, seconds / 4))

    class Container(utils.ContainerMetadataFetcher):
        TIMEOUT_SECONDS = patience
        RETRY_ATTEMPTS = 1
        SLEEP_TIME = 0

    instance = utils.InstanceMetadataFetcher(
        timeout=patience,
        num_attempts=1,
        user_agent=core.user_agent(),
        config={
            name: core.get_config_variable(name)
            for name in ("ec2_metadata_service_endpoint", "ec2_metadata_v1_disabled")
        }
        | {"ec2_metadata_service_endpoint_mode": utils.resolve_imds_endpoint_mode(core)},
    )
    chain = core.get_component("credential_provider")
    for provider in (
        credentials.ContainerProvider(fetcher=Container()),
        credentials.InstanceMetadataProvider(iam_role_fetcher=instance),
    ):
        chain.insert_after(provider.METHOD, provider)
        chain.remove(provider.METHOD)  # the first of that name, which is botocore's own
    return core


def _carrier(core: Any) -> Callable[..., Any]:
    """Return a handler of botocore's event "before-send" that sends the request itself.

    botocore's own client bounds each read but not a send, and its errors do not tell whether the
    request had left. ``core`` knows the CA bundle (``AWS_CA_BUNDLE``, or a profile's).
    """
    from botocore.awsrequest import AWSResponse
    from requests import Request, TooManyRedirects

    from .transport import new_session

    session = new_session()

    @sensitive_variables()
    def carry(request: Any, **_event: Any) -> Any:
        headers = {name: _text(value) for name, value in request.headers.items()}
        # Prepared without the session: a netrc file must not replace the signature.
        prepared = Request(
            request.method, request.url, headers=headers, data=request.body
        ).prepare()
        environment = session.merge_environment_settings(
            prepared.url, {}, None, core.get_config_variable("ca_bundle"), None
        )
        try:
            answer = session.send(prepared, allow_redirects=False, **environment)
        except TooManyRedirects as error:
            if error.response is None:
                raise
            answer = error.response
        return AWSResponse(request.url, answer.status_code, answer.headers, _Body(answer.content))

    return carry


def _silence_sdk() -> None:
    """Keep out of the log each request and answer, which the SDK tells at DEBUG, whole."""
    from .transport import silence

    silence("boto3")
    silence("botocore")


class _Body(io.BytesIO):
    """The body of an answer, as botocore reads it."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _outcome(error: Exception, *, sent: bool, status: int) -> DeliveryError | BackendMisconfigured:
    from botocore.exceptions import ClientError, ParamValidationError

    from .transport import by_status

    # Our own are made anew, without a context.
    if isinstance(error, BackendMisconfigured):
        return BackendMisconfigured(
            error.detail, code=error.code, provider_wide=error.provider_wide
        )
    if isinstance(error, DeliveryError):
        return type(error)(code=error.code, reason=error.reason, provider_wide=error.provider_wide)
    if isinstance(error, ClientError):
        outcome = _answered(error.response, status)
    elif status >= 300:  # an answer that no service of AWS gives
        outcome = by_status(status)(code=str(status))
    elif _is_ours(error, sent=sent):
        return BackendMisconfigured(
            "AWS's settings or credentials cannot be used.",
            code=type(error).__name__,
            provider_wide=not isinstance(error, ParamValidationError),  # of this one message
        )
    else:
        outcome = DeliveryUnknown(code=type(error).__name__)
    if isinstance(outcome, DeliveryUnknown) and not sent:
        return DeliveryUnavailable(code=outcome.code, provider_wide=outcome.provider_wide)
    return outcome


def _is_ours(error: Exception, *, sent: bool) -> bool:
    """Say whether botocore itself raised ``error``, of what it was given, and sent nothing."""
    from botocore import exceptions

    at_any_time = (
        exceptions.BaseEndpointResolverError,
        exceptions.EndpointProviderError,
        exceptions.NoCredentialsError,
        exceptions.ParamValidationError,
        exceptions.PartialCredentialsError,
    )
    # Those who had to be asked for the credentials did not answer.
    not_ours = (
        exceptions.ConnectionError,
        exceptions.CredentialRetrievalError,
        exceptions.MetadataRetrievalError,
    )
    return isinstance(error, at_any_time) or (
        not sent and isinstance(error, exceptions.BotoCoreError) and not isinstance(error, not_ours)
    )


def _answered(answer: Mapping[str, Any], status: int) -> DeliveryError | BackendMisconfigured:
    from .transport import by_status

    code = str(answer.get("Error", {}).get("Code", ""))
    for detail in (*_details(answer, code), ""):
        if (code, detail) in CODES:
            return CODES[code, detail](code=detail or code)
    return by_status(status)(code=code if _PLAIN_CODE.fullmatch(code) else str(status))


def _details(answer: Mapping[str, Any], code: str) -> Iterator[str]:
    """Return what the answer says beside its code, the most telling first."""
    reason = str(answer.get("Reason", ""))
    if reason in _GENERAL_REASONS:
        for each in answer.get("Fields") or ():
            name = str(each.get("Name", ""))
            yield name[:1].upper() + name[1:]
    if reason:
        yield reason
    # SNS has words only, but these have been the same since it sends texts.
    if code == "InvalidParameter" and ": PhoneNumber " in str(answer["Error"].get("Message", "")):
        yield "PhoneNumber"
