"""`manage.py wait_for_services`: return when PostgreSQL and Redis answer. All children of vagga start at once."""

import time

from django.core.cache import cache
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection
from redis import RedisError


class Command(BaseCommand):
    help = "Wait until PostgreSQL and Redis answer"
    requires_system_checks = ()

    def add_arguments(self, parser):
        parser.add_argument("--seconds", type=float, default=30)

    def handle(self, *, seconds, **_):
        end = time.monotonic() + seconds
        self.wait("PostgreSQL", connection.ensure_connection, OperationalError, end)
        self.wait("Redis", lambda: cache.get("anything"), RedisError, end)

    def wait(self, name, ask, error_class, end):
        told = False
        while True:
            try:
                return ask()
            except error_class as error:
                if time.monotonic() > end:
                    raise CommandError(f"{name} does not answer: {error}") from error
            if not told:
                self.stdout.write(f"waiting for {name}")
                told = True
            time.sleep(0.1)
