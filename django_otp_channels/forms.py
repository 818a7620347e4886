"""The forms of the login step and the device pages."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.utils.functional import lazystr
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_variables
from phonenumber_field.formfields import PhoneNumberField

from . import countries, phones
from .codes import Token
from .conf import conf
from .exceptions import InvalidNumber

_PASTED = re.compile(r"[ \-\t\r\n]", re.ASCII)


class TokenBoundField(forms.BoundField):
    @property
    def unfocused(self) -> str:
        """The input for a page on which something else comes first."""
        return self.as_widget(attrs={"autofocus": False})

    @property
    def aria_describedby(self) -> str | None:
        """The ids of what a screen reader says with the input: help, error, where the code went.

        The input has the focus from the start, so that nothing before it is read.
        """
        told_by = self.field.told_by if isinstance(self.field, TokenField) else ""
        return " ".join(filter(None, [super().aria_describedby, told_by]))


class TokenField(forms.CharField):
    """The one input for a code, with what phones need to fill it in by themselves.

    ``told_by`` is the id of the sentence that says where the code went, if the page has one.
    """

    def __init__(self, *, told_by: str = "", **kwargs: Any) -> None:
        self.told_by = told_by
        kwargs.setdefault("label", _("Code"))
        kwargs.setdefault("max_length", 64)
        kwargs.setdefault("error_messages", {"required": _("Enter the code.")})
        super().__init__(**kwargs)

    def clean(self, value: Any) -> Token:
        """Return the code masked wherever a debugger or a collector of errors prints it."""
        return Token(super().clean(value))

    def get_bound_field(self, form: forms.BaseForm, field_name: str) -> TokenBoundField:
        return TokenBoundField(form, self, field_name)

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        return {
            **super().widget_attrs(widget),
            "autocomplete": "one-time-code",
            "autocapitalize": "off",
            "spellcheck": "false",
            "autofocus": True,
        }


class TokenForm(forms.Form):
    """A code of ours: ASCII digits; a pasted ``123 456`` or ``123-456`` will do."""

    token = TokenField(told_by="otp-sentence")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Room for the separators of a pasted code.
        self.fields["token"].widget.attrs.update(
            inputmode="numeric", maxlength=str(conf.TOKEN_LENGTH + 4)
        )

    @sensitive_variables()
    def clean_token(self) -> Token:
        token = Token(_PASTED.sub("", self.cleaned_data["token"]))
        if not re.fullmatch(rf"[0-9]{{{conf.TOKEN_LENGTH}}}", token, re.ASCII):
            raise forms.ValidationError(
                ngettext(
                    "The code has %(digits)d digit, 0 to 9.",
                    "The code has %(digits)d digits, 0 to 9.",
                    conf.TOKEN_LENGTH,
                )
                % {"digits": conf.TOKEN_LENGTH},
                code="malformed",
            )
        return token


class OtherTokenForm(forms.Form):
    """A code of another django-otp device: an authenticator app or a recovery code.

    ``numeric`` where it has digits only, so that a phone shows them.
    """

    token = TokenField()

    def __init__(self, *args: Any, numeric: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if numeric:
            self.fields["token"].widget.attrs["inputmode"] = "numeric"


class PasswordForm(forms.Form):
    """The password of who is logged in, once more."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=4096,
        error_messages={"required": _("Enter your password.")},
        widget=forms.PasswordInput(
            attrs={"autocomplete": "current-password", "autofocus": True},
        ),
    )


class StrictPhoneField(PhoneNumberField):
    """A phone number that a message may be sent to; its clean value is a ``phones.Phone``.

    A number without its country code is one of ``country`` (ISO 3166), if that is set.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", _("Phone number"))
        kwargs.setdefault("max_length", 60)
        super().__init__(**kwargs)
        # The library's own validator wants its own class; ours has judged the number already.
        self.validators: list[Any] = []
        self.country: str | None = None

    def to_python(self, value: Any) -> phones.Phone | None:
        text = str(value or "").strip(" ")
        if not text:
            return None
        try:
            return phones.parse_reachable(text, countries=conf.COUNTRIES, region=self.country)
        except InvalidNumber as error:
            raise forms.ValidationError(str(error), code="invalid") from error


class PhoneForm(forms.Form):
    """Ask for a number to prove, and for its country where the site allows several."""

    country = forms.ChoiceField(label=_("Country"), required=False)
    number = StrictPhoneField(error_messages={"required": lazystr(_("Enter your phone number."))})

    def __init__(self, *args: Any, guess: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        number, country = self.fields["number"], self.fields["country"]
        number.widget.attrs.update(autocomplete="tel", inputmode="tel")
        allowed = conf.COUNTRIES
        if len(allowed) > 1:
            blank = ("", _("Choose a country"))
            country.choices = [blank, *countries.choices(allowed)]  # type: ignore[attr-defined]
            country.initial = guess if guess in allowed else ""
            country.widget.attrs.update(autocomplete="country")
        else:
            del self.fields["country"]
            number.help_text = _(
                "With the country code, for example +1\u00a0202\u00a0555\u00a00123."
            )
            number.country = next(iter(allowed), None)  # type: ignore[attr-defined]

    def clean_country(self) -> str:
        # Before the number is read, since it stands before it.
        code: str = self.cleaned_data["country"]
        self.fields["number"].country = code or None  # type: ignore[attr-defined]
        return code


class NameForm(forms.Form):
    """What a person calls a device of theirs."""

    name = forms.CharField(
        label=_("Name"), max_length=64, error_messages={"required": _("Enter a name.")}
    )
