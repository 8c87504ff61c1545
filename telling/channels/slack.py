"""Incoming webhooks as Slack has them, and others who copied them: a chat is told."""

import json
from http import HTTPStatus
from urllib.parse import urlsplit

from database.one_line import one_line
from telling.channel import Target, http_url
from telling.message import Message
from telling.result import DELIVERED, Result, ambiguous, permanent, retry
from telling.settings import TellingSettings
from telling.targets import Answer, RefusedTargetError, UnansweredError, UnreachedError, post

FOR_GOOD = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.GONE})
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class SlackKind:
    """A POST of plain JSON. A chat can't tell a repetition: what may have arrived isn't sent again."""

    name = "slack"
    schemes = ("slack+https", "slack+http")
    form = "slack+https://hooks.slack.com/services/..."
    can_deduplicate = False
    signs = False

    def shown(self, url: str) -> str:
        """Return the host alone: the path is the secret. Raises TargetError."""
        parts = http_url(url)
        return f"{parts.scheme}://{parts.netloc}/..."

    async def send(self, target: Target, message: Message, settings: TellingSettings) -> Result:
        """Return what came of it."""
        url = http_url(target.url).geturl()
        body = json.dumps({"text": text(message)}).encode()
        try:
            answer = await post(url, body, {}, allow_private=settings.allow_private_targets)
        except RefusedTargetError as error:
            return permanent(str(error))
        except UnreachedError as error:
            return retry(str(error))
        except UnansweredError as error:
            return ambiguous(str(error))
        return _judge(answer, urlsplit(url).hostname or "")


def _judge(answer: Answer, host: str) -> Result:
    if answer.is_success:
        return retry(answer.error) if _is_refusal(answer.text) else DELIVERED
    if answer.status in FOR_GOOD or (answer.status == HTTPStatus.NOT_FOUND and host.endswith(".slack.com")):
        return permanent(answer.error)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
        return ambiguous(answer.error)
    return retry(answer.error, answer.after)


def _is_refusal(text: str) -> bool:
    """Return whether an answer of 200 says that it isn't one."""
    try:
        answer = json.loads(text)
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("ok") is False


def text(message: Message) -> str:
    """Return the message in Slack's markup; what others wrote can't mention anybody or hide a link."""
    lines = [f"*{_escaped(message.headline)}* {_escaped(message.subject)}", *map(_escaped, message.lines)]
    return "\n".join([*lines, f"<{message.link}|Look at it>"])


def _escaped(words: str) -> str:
    return one_line(words).translate(_ESCAPED)


KIND = SlackKind()
