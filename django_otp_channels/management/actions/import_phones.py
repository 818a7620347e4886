"""``import <source>``: take over the phones of another package, a model or a file."""

from __future__ import annotations

import csv
import io
import json
import re
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from contextlib import closing
from typing import Any

from django.core.management.base import CommandError
from django.db import connections
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...conf import conf
from ...phones import REGIONS, mask, modern
from ...sources import File, Model, OTPTwilio, Source, SourceError, Spool, TwoFactor
from ...takeover import Fate, Outcome, Takeover
from .base import Action

# A spreadsheet runs a cell that begins so as a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# Somebody's username may be a number, and so may be what stands in a wrong column.
_NUMBER = re.compile(r"\+?[0-9 ().-]{7,}", re.ASCII)
_MAX_SHOWN = 150
_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}


class ImportPhones(Action):
    name = "import"
    help = (
        "Take over phones from elsewhere, so that whoever had a factor there keeps needing one. "
        "Only shows what it would do, unless you add --commit. Exits with 1 if a row needs you."
    )

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument(
            "source",
            help="two_factor (django-two-factor-auth), otp_twilio (django-otp-twilio), "
            "model:app_label.Model:user_field:number_field, or csv:PATH.",
        )
        parser.add_argument(
            "--commit", action="store_true", help="Do it. Without this, nothing is written."
        )
        parser.add_argument(
            "--region",
            type=_region,
            help="ISO 3166 code of the country of numbers without a country code.",
        )
        parser.add_argument(
            "--unusable",
            choices=["park", "skip"],
            default="park",
            help="What becomes of a factor whose number no code can go to. park (default): it is "
            "kept, and its owner cannot sign in until you help. skip: it is left out, and a "
            "password alone may be enough.",
        )
        parser.add_argument(
            "--proven",
            action="store_true",
            help="csv and model: each number was proven by a code already. Without this, it is "
            "proven by the first code at a login.",
        )
        parser.add_argument(
            "--match",
            choices=["username", "email", "pk"],
            default="username",
            help="csv, and models without a key to the user: what the user's column holds "
            "(default: %(default)s).",
        )
        parser.add_argument(
            "--delimiter", choices=_DELIMITERS, default="comma", help="csv: between the columns."
        )
        parser.add_argument(
            "--database", default="", help="The database with the table or the model."
        )
        parser.add_argument(
            "--format", choices=["text", "csv", "json"], default="text", help="Of the report."
        )

    def run(self, **options: Any) -> None:
        if not conf.COUNTRIES:
            raise CommandError(
                _("OTP_CHANNELS_COUNTRIES is empty: no number could be reached. Set it first.")
            )
        try:
            counts = self._take_over(_source(options), options)
        except SourceError as error:
            raise CommandError(_shown(str(error))) from error
        if options["format"] == "text":
            self._conclude(counts, commit=options["commit"])
        waiting = sum(count for fate, count in counts.items() if fate.needs_attention)
        if waiting:
            raise CommandError(
                ngettext(
                    "%(count)d row needs your attention.",
                    "%(count)d rows need your attention.",
                    waiting,
                )
                % {"count": waiting}
            )

    def _take_over(self, source: Source, options: dict[str, Any]) -> Counter[Fate]:
        """Take over all rows, report each, and return how many met which fate."""
        counts: Counter[Fate] = Counter()
        takeover = Takeover(
            match=source.match,
            table=source.table,
            region=options["region"],
            park=options["unusable"] == "park",
            commit=options["commit"],
        )
        with closing(Spool()) as spool:
            spool.fill(source.rows())
            self._begin(options)
            for rows in spool.users():
                for outcome in takeover.take(rows):
                    counts[outcome.fate] += 1
                    self._report(outcome, options["format"])
        return counts

    def _begin(self, options: dict[str, Any]) -> None:
        if options["format"] == "csv":
            self._cells("row", "user", "user_id", "number", "outcome", "needs_attention", "why")
        elif options["format"] == "text" and not options["commit"]:
            self.stdout.write(_("A dry run: nothing is written. Add --commit to do it."))

    def _report(self, outcome: Outcome, form: str) -> None:
        row, fate = outcome.row, outcome.fate
        user, number = _name(outcome.name), _masked(row.number)
        if form == "text":
            what = f"{fate.words} ({_shown(outcome.why)})" if outcome.why else str(fate.words)
            if fate.needs_attention:
                what = self.style.WARNING(what)
            self.stdout.write(f"{row.where}: {user or '-'} {number or '-'}: {what}")
        elif form == "csv":
            attention = "yes" if fate.needs_attention else "no"
            key = "" if outcome.user is None else str(outcome.user)
            self._cells(row.where, user, key, number, fate.value, attention, outcome.why)
        else:
            facts = {
                "row": row.where,
                "user": user,
                "user_id": outcome.user,
                "number": number,
                "outcome": fate.value,
                "needs_attention": fate.needs_attention,
                "why": outcome.why,
            }
            self.stdout.write(json.dumps(facts, default=str))

    def _cells(self, *cells: str) -> None:
        line = io.StringIO()
        safe = [f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in map(_shown, cells)]
        csv.writer(line, lineterminator="").writerow(safe)
        self.stdout.write(line.getvalue())

    def _conclude(self, counts: Counter[Fate], *, commit: bool) -> None:
        self.stdout.write("")
        if not counts:
            self.stdout.write(_("There are no rows."))
        for fate in Fate:
            if counts[fate]:
                self.stdout.write(f"{counts[fate]:>9,} {fate.words}")
        if not commit:
            self.stdout.write(_("Nothing was written. Add --commit to do it."))


def _source(options: dict[str, Any]) -> Source:
    name, _colon, rest = options["source"].partition(":")
    database = options["database"]
    if database and database not in connections:
        raise SourceError(_("There is no database %(name)s.") % {"name": database})
    facts = {"match": options["match"], "proven": options["proven"]}
    if name == "csv" and rest:
        return File(path=rest, delimiter=_DELIMITERS[options["delimiter"]], **facts)
    if name == "model" and rest:
        return Model(rest, database=database, **facts)
    tables = {"two_factor": TwoFactor, "otp_twilio": OTPTwilio}
    if name not in tables or rest:
        raise SourceError(
            _(
                "Name a source: two_factor, otp_twilio, "
                "model:app_label.Model:user_field:number_field or csv:PATH."
            )
        )
    if options["proven"]:
        raise SourceError(_("--proven is for csv and model: this source says it of each row."))
    return tables[name](database)


def _region(text: str) -> str:
    if text.upper() not in REGIONS:
        raise ArgumentTypeError(_("Give the ISO 3166 code of a country, for example US."))
    return text.upper()


def _name(text: str) -> str:
    return mask(text) if _NUMBER.fullmatch(text) else _shown(text)


def _masked(number: str) -> str:
    return _shown(mask(modern(number))) if number else ""


def _shown(text: str) -> str:
    """Return ``text`` without what could move the cursor, begin a line or fill the screen."""
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return plain if len(plain) <= _MAX_SHOWN else f"{plain[:_MAX_SHOWN]}…"
