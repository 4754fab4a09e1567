"""The guest book over HTTP."""

from django.core.cache import cache
from django.db import connection
from django.http import JsonResponse
from django.views.decorators.http import require_GET, require_http_methods

from guestbook import store
from guestbook.models import Note

LONGEST = Note._meta.get_field("text").max_length


@require_http_methods(["GET", "POST"])
def notes(request):
    """GET: the latest notes, and where they came from. POST: write the body down."""
    if request.method == "GET":
        texts, source = store.latest()
        return JsonResponse({"notes": texts, "from": source})
    text = request.body.decode(errors="replace").replace("\0", "").strip()
    if not 0 < len(text) <= LONGEST:
        return JsonResponse({"error": f"a note has 1 to {LONGEST} characters"}, status=400)
    return JsonResponse({"id": store.write(text).id}, status=201)


@require_GET
def health(request):
    """Whether both servers answer; the counters are theirs."""
    cache.get_or_set("visits", 0, None)
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        (version,) = cursor.fetchone()
    return JsonResponse({"postgresql": version, "notes": Note.objects.count(), "visits": cache.incr("visits")})
