"""The button "Test this key", the page that shows how the test goes, and the tests there were."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from backend.engine_tests import services
from backend.engine_tests.models import EngineTest
from backend.engine_tests.sentences import figures_of, sentence_of
from backend.errors import Throttled
from backend.events.models import EngineCredential
from backend.leases.admin import OfOwnEventsAdmin
from backend.sealing import Unreadable


@admin.register(EngineTest)
class EngineTestAdmin(OfOwnEventsAdmin):
    list_display = ("engine", "event", "outcome", "asked_by", "asked_at", "taken_by")
    list_filter = ("engine", "result")
    list_select_related = ("event",)

    @admin.display(description="outcome", ordering="result")
    def outcome(self, test: EngineTest) -> str:
        return sentence_of(test)

    def get_urls(self) -> list[URLPattern]:
        def guarded(view: Any) -> Any:
            return self.admin_site.admin_view(view)

        return [
            path("ask/<int:credential_id>/", guarded(self.ask), name="engine_tests_ask"),
            path("<uuid:test_id>/progress/", guarded(self.progress), name="engine_tests_progress"),
            path("<uuid:test_id>/now/", guarded(self.now), name="engine_tests_now"),
            *super().get_urls(),
        ]

    @method_decorator(require_POST)
    def ask(self, request: HttpRequest, credential_id: int) -> HttpResponse:
        """With the key as it was last saved; for who may change it."""
        credentials = self.admin_site.get_model_admin(EngineCredential)
        credential = get_object_or_404(credentials.get_queryset(request), pk=credential_id)
        if not credentials.has_change_permission(request, credential):
            raise PermissionDenied
        try:
            test = services.ask(
                engine=credential.engine,
                event=credential.event,
                credential=credential,
                asked_by=request.user.get_username(),
            )
        except Throttled as error:
            problem = f"Too many tests were asked for. There are more in {error.retry_after_s} seconds."
        except Unreadable:
            problem = (
                "The key cannot be read: it was sealed under another API_KEY_ENCRYPTION_KEY. Enter it again."
            )
        else:
            return HttpResponseRedirect(reverse("admin:engine_tests_progress", args=[test.pk]))
        self.message_user(request, problem, messages.ERROR)
        return HttpResponseRedirect(reverse("admin:events_enginecredential_change", args=[credential.pk]))

    @method_decorator(require_GET)
    @method_decorator(never_cache)
    def progress(self, request: HttpRequest, test_id: Any) -> HttpResponse:
        test = self._seen(request, test_id)
        context = {
            **self.admin_site.each_context(request),
            "title": "Test of an engine",
            "opts": self.opts,
            "test": test,
            "sentence": sentence_of(test),
            "figures": figures_of(test),
        }
        return TemplateResponse(request, "engine_tests/progress.html", context)

    @method_decorator(require_GET)
    @method_decorator(never_cache)
    def now(self, request: HttpRequest, test_id: Any) -> HttpResponse:
        test = self._seen(request, test_id)
        return JsonResponse(
            {
                "is_over": test.is_over,
                "is_ok": test.is_ok,
                "sentence": sentence_of(test),
                "figures": figures_of(test),
            }
        )

    def _seen(self, request: HttpRequest, test_id: Any) -> EngineTest:
        test = get_object_or_404(self.get_queryset(request), pk=test_id)
        if not self.has_view_permission(request, test):
            raise PermissionDenied
        return services.look(test)
