"""The pages, asked as a browser would, without a socket."""

from django.core.cache import cache
from django.test import TransactionTestCase
from guestbook.models import Note


class Pages(TransactionTestCase):
    def setUp(self):
        cache.clear()

    def write(self, text):
        return self.client.post("/", text, content_type="text/plain")

    def test_a_note_that_is_written_can_be_read(self):
        self.assertEqual(self.write("Grüße").status_code, 201)
        self.assertEqual(self.client.get("/").json(), {"notes": ["Grüße"], "from": "postgresql"})
        self.assertEqual(self.client.get("/").json()["from"], "redis")

    def test_a_note_without_text_or_with_too_much_is_refused(self):
        for text in ("", "  ", "x" * 501):
            self.assertEqual(self.write(text).status_code, 400)
        self.assertEqual(Note.objects.count(), 0)

    def test_other_methods_are_refused(self):
        self.assertEqual(self.client.put("/").status_code, 405)

    def test_health_names_the_server_and_counts(self):
        self.write("one")
        first, second = (self.client.get("/health").json() for _ in range(2))
        self.assertEqual((first["notes"], second["visits"] - first["visits"]), (1, 1))
        self.assertTrue(first["postgresql"])
