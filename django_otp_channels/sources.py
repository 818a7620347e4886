"""Where phones are taken over from: another package's table, a model, or a CSV file.

Each source is read once, before anything is written, into a :class:`Spool`: what cannot be read at
all ends the import before it begins. What is wrong with one row becomes that row's ``problem``.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from django.apps import apps
from django.apps.registry import Apps
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, models, router
from django.utils.translation import gettext as _
from django_otp.models import Device

CHUNK = 1000


class SourceError(Exception):
    """The source as a whole cannot be read. The text says why, and shows no number."""


class Row(NamedTuple):
    """One number of one user, as the source has it.

    ``proven`` says that the source has made sure of it, ``factor`` that it asked for codes because
    of this row, whatever its number is like. ``channel`` is the way that it preferred, or empty.
    """

    where: str
    user: str = ""
    number: str = ""
    proven: bool = False
    factor: bool = False
    channel: str = ""
    name: str = ""
    rank: int = 0
    problem: str = ""


class Spool:
    """The rows of a source, user by user, however many they are: in a temporary file.

    Of one user's rows the proven ones come first, then those of a lower ``rank``.
    """

    def __init__(self) -> None:
        columns = ", ".join(f'"{name}"' for name in Row._fields)
        self._file = sqlite3.connect("")  # a file of SQLite's own, which nobody else can open
        self._file.execute(f"CREATE TABLE spool (place INTEGER PRIMARY KEY, {columns})")

    def fill(self, rows: Iterable[Row]) -> None:
        marks = ", ".join("?" * len(Row._fields))
        self._file.executemany(f"INSERT INTO spool VALUES (NULL, {marks})", rows)  # noqa: S608

    def users(self) -> Iterator[list[Row]]:
        """Yield the rows of each user together."""
        rows = self._file.execute("SELECT * FROM spool ORDER BY user, proven DESC, rank, place")
        for _user, group in groupby(map(_read, rows), attrgetter("user")):
            yield list(group)

    def close(self) -> None:
        self._file.close()


def _read(columns: Sequence[Any]) -> Row:
    row = Row(*columns[1:])
    return row._replace(proven=bool(row.proven), factor=bool(row.factor))


class Source:
    """``match``: what the ``user`` of its rows is: ``pk``, ``username`` or ``email``.

    ``table`` is where its own devices are, whose existence proves nothing about themselves.
    """

    match: str = "pk"
    table: str = ""

    def rows(self) -> Iterator[Row]:
        """Yield all rows. Raises :class:`SourceError`."""
        raise NotImplementedError


# -- the tables of other packages ------------------------------------------------------------


class ForeignPhone(models.Model):
    """What the tables of both packages have. Read whether or not their app is installed."""

    # The column as it comes, whatever the key of the site's user model is.
    user_id = models.TextField()
    name = models.CharField(max_length=64)
    confirmed = models.BooleanField()
    number = models.CharField(max_length=128)

    class Meta:
        abstract = True


class TwoFactorPhone(ForeignPhone):
    """django-two-factor-auth's ``PhoneDevice``."""

    method = models.CharField(max_length=4)

    class Meta:
        managed = False
        app_label = "two_factor"
        apps = Apps()
        db_table = "two_factor_phonedevice"

    def __str__(self) -> str:
        return str(self.pk)


class TwilioPhone(ForeignPhone):
    """django-otp-twilio's ``TwilioSMSDevice``."""

    class Meta:
        managed = False
        app_label = "otp_twilio"
        apps = Apps()
        db_table = "otp_twilio_twiliosmsdevice"

    def __str__(self) -> str:
        return str(self.pk)


class Table(Source):
    """The table of another package: its rows are django-otp devices."""

    model: ClassVar[type[models.Model]]

    def __init__(self, database: str = "") -> None:
        self.database = database or DEFAULT_DB_ALIAS
        self.table = self.model._meta.db_table

    def rows(self) -> Iterator[Row]:
        connection = connections[self.database]
        if self.table not in connection.introspection.table_names():
            raise SourceError(
                _("There is no table %(table)s in the database %(database)s.")
                % {"table": self.table, "database": self.database}
            )
        key = get_user_model()._meta.pk
        try:
            rows: Any = self.model._default_manager.using(self.database).order_by("pk")
            for row in rows.iterator(chunk_size=CHUNK):
                yield Row(
                    where=f"id {row.pk}",
                    user=str(key.to_python(row.user_id)),
                    number=_text(row.number),
                    proven=row.confirmed,
                    factor=row.confirmed,
                    **self.facts(row),
                )
        except DatabaseError as error:
            raise SourceError(
                _("The table %(table)s cannot be read (%(error)s).")
                % {"table": self.table, "error": type(error).__name__}
            ) from error

    def facts(self, row: Any) -> dict[str, Any]:
        """Return what else this package's rows tell."""
        raise NotImplementedError


class TwoFactor(Table):
    model = TwoFactorPhone

    def facts(self, row: Any) -> dict[str, Any]:
        # Its names are "default", which it asks first, and "backup": not for people to read.
        channel = "voice" if row.method == "call" else "sms"
        return {"channel": channel, "rank": int(row.name != "default")}


class OTPTwilio(Table):
    model = TwilioPhone

    def facts(self, row: Any) -> dict[str, Any]:
        return {"channel": "sms", "name": row.name}


# -- a model of the site ---------------------------------------------------------------------


class Model(Source):
    """``app_label.Model:user_field:number_field``; the fields may be paths (``profile__phone``).

    ``proven`` says of all rows that the site has made sure of the number. A django-otp device says
    it itself.
    """

    def __init__(self, path: str, *, match: str, proven: bool, database: str = "") -> None:
        try:
            label, self.user, self.number = path.split(":")
            self.model = apps.get_model(label)
        except (ValueError, LookupError) as error:
            raise SourceError(
                _("%(path)s names no model: write app_label.Model:user_field:number_field.")
                % {"path": path}
            ) from error
        self.proven = proven
        self.device = issubclass(self.model, Device)
        # Not a replica: what it does not have yet would be missing without a word.
        self.database = database or router.db_for_write(self.model)
        self.table = self.model._meta.db_table
        self.match = match
        users = get_user_model()
        user, number = self._field(self.user), self._field(self.number)
        if user.related_model is users:
            self.user, self.match = f"{self.user}__pk", "pk"
        elif user.primary_key and user.model is users:
            self.match = "pk"
        elif user.is_relation:
            raise SourceError(_("%(field)s is no user.") % {"field": self.user})
        if number.is_relation:
            raise SourceError(_("%(field)s is no number.") % {"field": self.number})

    def _field(self, path: str) -> Any:
        model: Any = self.model
        field: Any = None
        for name in path.split("__"):
            if model is None:
                break
            try:
                field = model._meta.pk if name == "pk" else model._meta.get_field(name)
            except FieldDoesNotExist as error:
                raise SourceError(str(error)) from error
            model = field.related_model
        return field

    def rows(self) -> Iterator[Row]:
        rows = self.model._default_manager.using(self.database).order_by("pk")
        says = ["confirmed"] if self.device else []
        try:
            found = rows.values_list("pk", self.user, self.number, *says)
            for pk, user, number, *confirmed in found.iterator(chunk_size=CHUNK):
                yield Row(
                    where=f"pk {pk}",
                    user=_text(user),
                    number=_text(number),
                    proven=self.proven or any(confirmed),
                    factor=any(confirmed),
                )
        except (FieldError, DatabaseError) as error:
            raise SourceError(str(error)) from error


# -- a file ----------------------------------------------------------------------------------


@dataclass(kw_only=True)
class File(Source):
    """A CSV file in UTF-8 with a header that names the columns ``user`` and ``number``.

    Other columns are not looked at. ``proven`` as in :class:`Model`.
    """

    path: str
    match: str
    proven: bool
    delimiter: str = ","

    def rows(self) -> Iterator[Row]:
        try:
            with Path(self.path).open(encoding="utf-8-sig", newline="") as file:
                yield from self._rows(csv.reader(file, delimiter=self.delimiter, strict=True))
        except OSError as error:
            raise SourceError(f"{self.path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise SourceError(
                _("%(path)s is not in UTF-8. Save it as UTF-8 first.") % {"path": self.path}
            ) from error

    def _rows(self, reader: Any) -> Iterator[Row]:
        try:
            header = [name.strip().lower() for name in next(reader, [])]
        except csv.Error as error:
            raise SourceError(f"{self.path}: {error}") from error
        if header.count("user") != 1 or header.count("number") != 1:
            raise SourceError(
                _("The first line of %(path)s must name the columns user and number.")
                % {"path": self.path}
            )
        user, number = header.index("user"), header.index("number")
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                yield Row(where=_line(reader), problem=str(error))
                continue
            if cells is None:
                return
            if not any(cells):
                continue  # an empty line is no row
            if len(cells) != len(header):
                yield Row(where=_line(reader), problem=_("not as many columns as the header"))
                continue
            yield Row(
                where=_line(reader),
                user=_text(cells[user]),
                number=_text(cells[number]),
                proven=self.proven,
            )


def _line(reader: Any) -> str:
    return _("line %(number)d") % {"number": reader.line_num}


def _text(value: Any) -> str:
    """Return what a cell says. Databases take no NUL, and none belongs into a name or a number."""
    return "" if value is None else str(value).replace("\0", "\N{REPLACEMENT CHARACTER}").strip()
