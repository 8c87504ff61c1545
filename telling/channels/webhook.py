"""Signed webhooks: another program is told, and can check by whom (Standard Webhooks)."""

import json
from datetime import UTC, datetime
from http import HTTPStatus

from standardwebhooks import Webhook

from telling.channel import Target, TargetError, http_url
from telling.message import Message
from telling.result import DELIVERED, Result, permanent, retry
from telling.settings import TellingSettings
from telling.targets import RefusedTargetError, UnansweredError, UnreachedError, post


class WebhookKind:
    """A POST of JSON, signed; its id is the delivery's, so that a receiver can tell a repetition."""

    name = "webhook"
    schemes = ("webhook+https", "webhook+http")
    form = "webhook+https://host/path"
    can_deduplicate = True
    signs = True

    def shown(self, url: str) -> str:
        """Return the URL without its query, which may hold a token. Raises TargetError."""
        parts = http_url(url)
        return parts._replace(query="", fragment="").geturl()

    async def send(self, target: Target, message: Message, settings: TellingSettings) -> Result:
        """Return what came of it. Whatever isn't 2xx is a failure, redirects as well; only 410 is for good."""
        body, headers = signed(target, message)
        url = http_url(target.url).geturl()
        try:
            answer = await post(url, body, headers, allow_private=settings.allow_private_targets)
        except RefusedTargetError as error:
            return permanent(str(error))
        except (UnreachedError, UnansweredError) as error:
            return retry(str(error))
        if answer.is_success:
            return DELIVERED
        return permanent(answer.error) if answer.status == HTTPStatus.GONE else retry(answer.error, answer.after)


def signed(target: Target, message: Message) -> tuple[bytes, dict[str, str]]:
    """Return the body, and the headers that sign it as of now. Raises TargetError without a secret."""
    if not target.secret:
        raise TargetError("A webhook needs a secret")
    body = json.dumps(payload(message), ensure_ascii=False)
    at, message_id = datetime.now(UTC), f"msg_{message.id}"
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(target.secret).sign(message_id, at, body),
    }
    return body.encode(), headers


def payload(message: Message) -> dict[str, object]:
    """Return what is told, without anybody's name."""
    return {
        "type": f"alert.{message.event}",
        "timestamp": message.at.astimezone(UTC).isoformat(),
        "data": {
            "alert": {
                "id": str(message.alert_id),
                "tutor_id": message.tutor_id,
                "type": message.type,
                "severity": message.severity,
                "sentence": message.sentence,
                "value": None if message.value is None else float(message.value),
                "threshold": None if message.threshold is None else float(message.threshold),
                "link": message.link,
            },
            "details": message.details,
        },
    }


KIND = WebhookKind()
