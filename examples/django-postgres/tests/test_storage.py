"""Notes in PostgreSQL and Redis, both real: see `with-services`."""

from django.core.cache import cache
from django.db import connection
from django.test import TransactionTestCase
from guestbook import store
from guestbook.models import Note


class Storage(TransactionTestCase):
    def setUp(self):
        cache.clear()

    def test_the_second_answer_comes_from_redis(self):
        store.write("hello")
        self.assertEqual(store.latest(), (["hello"], "postgresql"))
        with self.assertNumQueries(0):
            self.assertEqual(store.latest(), (["hello"], "redis"))

    def test_a_new_note_is_seen_at_once(self):
        store.write("one")
        store.latest()
        store.write("two")
        self.assertEqual(store.latest(), (["two", "one"], "postgresql"))

    def test_only_the_latest_ten_are_shown(self):
        for number in range(12):
            store.write(str(number))
        self.assertEqual(store.latest()[0], [str(number) for number in range(11, 1, -1)])
        self.assertEqual(Note.objects.count(), 12)

    def test_the_database_is_a_real_one(self):
        self.assertEqual(connection.vendor, "postgresql")
