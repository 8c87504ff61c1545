"""The demo's cast: who the tutors are, how they teach, and how their last sixty days went."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum


class Standing(Enum):
    """How a tutor is doing by and large."""

    STAR = "star"
    SOLID = "solid"
    STRUGGLING = "struggling"
    AT_RISK = "at risk"


class Outcome(Enum):
    """How a session ended; the values are the letters of a `Tutor`'s outcome strings."""

    COMPLETED = "."
    TUTOR_ABSENT = "N"
    STUDENT_ABSENT = "n"
    RESCHEDULED_BY_TUTOR = "R"
    RESCHEDULED_BY_STUDENT = "r"
    CANCELLED = "c"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How a tutor's sessions usually go: averages per session, shares from 0 to 1, scores from 0 to 10."""

    score: float
    engagement: float
    talk_ratio: float
    understanding_checks: float
    reinforcement: float
    open_question_share: float
    visual_aids_share: float


@dataclass(frozen=True, kw_only=True)
class CastTutor:
    """A demo tutor and the calendar of their last sixty days.

    In `earlier` (31 to 60 days ago) and `recent` (the last 30 days) each letter is one session, oldest
    first, and names the student: `a` is the tutor's first student. The outcome strings beside them say,
    letter by letter, how those sessions ended. `quality_before` says how many steps of quality the
    earlier sessions were better than the profile.
    """

    number: int
    name: str
    standing: Standing
    subjects: tuple[str, ...]
    profile: Profile
    earlier: str
    earlier_outcomes: str
    recent: str
    recent_outcomes: str
    quality_before: float = 0.0

    @property
    def user_id(self) -> str:
        """The tutor's `users.id`."""
        return f"demo-tutor-{self.number:02d}"

    def earlier_sessions(self) -> Iterator[tuple[str, Outcome]]:
        """Student letter and outcome of the sessions 31 to 60 days ago, oldest first."""
        return _calendar(self.earlier, self.earlier_outcomes)

    def recent_sessions(self) -> Iterator[tuple[str, Outcome]]:
        """Student letter and outcome of the sessions of the last 30 days, oldest first."""
        return _calendar(self.recent, self.recent_outcomes)


def _calendar(letters: str, outcomes: str) -> Iterator[tuple[str, Outcome]]:
    return ((letter, Outcome(code)) for letter, code in zip(letters, outcomes, strict=True))


ADMIN_ID = "demo-admin"
ADMIN_NAME = "Robin Sinclair"
MAIL_DOMAIN = "demo.test"

# Name and category of each subject.
SUBJECTS = {
    "Algebra": "math",
    "Calculus": "math",
    "Biology": "science",
    "Chemistry": "science",
    "English Literature": "language_arts",
    "World History": "social_studies",
    "Spanish": "foreign_language",
    "SAT Preparation": "test_prep",
    "Python Programming": "computer_science",
}

STAR = Profile(
    score=9.0,
    engagement=8.8,
    talk_ratio=0.42,
    understanding_checks=11,
    reinforcement=13,
    open_question_share=0.72,
    visual_aids_share=0.9,
)
# Between the lines everywhere: each solid tutor is this with a strength or two of their own.
SOLID = Profile(
    score=7.8,
    engagement=7.3,
    talk_ratio=0.56,
    understanding_checks=6,
    reinforcement=7.5,
    open_question_share=0.5,
    visual_aids_share=0.5,
)
STRUGGLING = Profile(
    score=6.6,
    engagement=5.4,
    talk_ratio=0.73,
    understanding_checks=2.5,
    reinforcement=4,
    open_question_share=0.25,
    visual_aids_share=0.15,
)
AT_RISK = Profile(
    score=5.4,
    engagement=5.2,
    talk_ratio=0.6,
    understanding_checks=5,
    reinforcement=4,
    open_question_share=0.3,
    visual_aids_share=0.4,
)

TUTORS = (
    CastTutor(
        number=1,
        name="Sarah Chen",
        standing=Standing.STAR,
        subjects=("Algebra", "Calculus"),
        profile=STAR,
        earlier="abababab",
        earlier_outcomes="........",
        recent="cdeabcdeabcd",
        recent_outcomes="............",
    ),
    CastTutor(
        number=2,
        name="Amara Okafor",
        standing=Standing.STAR,
        subjects=("Biology", "Chemistry"),
        profile=replace(STAR, score=8.8, understanding_checks=10.5, open_question_share=0.7),
        earlier="abababab",
        earlier_outcomes="...c....",
        recent="cdeabcdeabcd",
        recent_outcomes=".......n....",
    ),
    CastTutor(
        number=3,
        name="Michael Torres",
        standing=Standing.SOLID,
        subjects=("Algebra", "SAT Preparation"),
        profile=replace(SOLID, talk_ratio=0.43, visual_aids_share=0.9),
        earlier="abcdabcd",
        earlier_outcomes="....r...",
        recent="abcdabcdabcd",
        recent_outcomes=".....c......",
    ),
    CastTutor(
        number=4,
        name="Priya Raman",
        standing=Standing.SOLID,
        subjects=("English Literature", "SAT Preparation"),
        profile=replace(SOLID, score=8.1, reinforcement=12.5, visual_aids_share=0.15),
        earlier="abcabcab",
        earlier_outcomes="........",
        recent="abcdabcdabcd",
        recent_outcomes="......n.....",
    ),
    CastTutor(
        number=5,
        name="Jonas Lindqvist",
        standing=Standing.SOLID,
        subjects=("Python Programming", "Calculus"),
        profile=replace(SOLID, open_question_share=0.7, understanding_checks=9.8),
        earlier="abcdabcd",
        earlier_outcomes=".....n..",
        recent="abcdeabcdeab",
        recent_outcomes="......R.....",
    ),
    CastTutor(
        number=6,
        name="Leila Haddad",
        standing=Standing.SOLID,
        subjects=("Spanish", "World History"),
        profile=replace(SOLID, score=8.2, engagement=8.6, talk_ratio=0.44),
        earlier="abcdabcd",
        earlier_outcomes="..c.....",
        recent="abcdabcdabcd",
        recent_outcomes=".........r..",
    ),
    CastTutor(
        number=7,
        name="Tomasz Nowak",
        standing=Standing.SOLID,
        subjects=("World History", "English Literature"),
        profile=replace(SOLID, score=7.6),
        earlier="abababab",
        earlier_outcomes="........",
        recent="cdeabcdeabcd",
        recent_outcomes="....c.......",
    ),
    CastTutor(
        number=8,
        name="Grace Kimura",
        standing=Standing.STRUGGLING,
        subjects=("Chemistry", "Biology"),
        profile=STRUGGLING,
        earlier="abcabcab",
        earlier_outcomes="....n...",
        recent="abdceabcabca",
        recent_outcomes=".......N....",
    ),
    CastTutor(
        number=9,
        name="Daniel Brooks",
        standing=Standing.STRUGGLING,
        subjects=("SAT Preparation", "Algebra"),
        profile=replace(STRUGGLING, score=6.8, engagement=6.6, talk_ratio=0.71, understanding_checks=3),
        earlier="abcdabcd",
        earlier_outcomes="...R....",
        recent="abcdabcdabcdabc",
        recent_outcomes=".R...R...R...R.",
    ),
    CastTutor(
        number=10,
        name="Victor Almeida",
        standing=Standing.AT_RISK,
        subjects=("Calculus", "Python Programming"),
        profile=AT_RISK,
        earlier="abcabcab",
        earlier_outcomes="........",
        recent="abdcabcbacea",
        recent_outcomes="...N..RN.N..",
        quality_before=4.5,
    ),
)

STAR_TUTOR = TUTORS[0]
SOLID_TUTOR = TUTORS[2]
# One more no-show by this tutor makes a no_show_pattern ...
ONE_NO_SHOW_SHORT = TUTORS[7]
# ... and one more reschedule by this one a high_reschedule_rate.
ONE_RESCHEDULE_SHORT = TUTORS[8]

STUDENT_NAMES = (
    "Leo Park",
    "Maya Goldberg",
    "Ethan Oyelaran",
    "Sofia Marchetti",
    "Noah Fitzgerald",
    "Aisha Rahman",
    "Lucas Ferreira",
    "Hana Suzuki",
    "Oliver Bennett",
    "Zara Siddiqui",
    "Mateo Vargas",
    "Ingrid Solberg",
    "Kwame Mensah",
    "Chloe Dubois",
    "Arjun Patel",
    "Emily Whitfield",
    "Yusuf Demir",
    "Anna Kowalska",
    "Diego Morales",
    "Mei Lin Wong",
    "Samuel Adeyemi",
    "Freya Jensen",
    "Ravi Iyer",
    "Isabella Romano",
    "Jakub Horak",
    "Layla Mansour",
    "Henry Caldwell",
    "Thi Nguyen",
    "Camila Rojas",
    "Elias Virtanen",
    "Nia Campbell",
    "Omar Farouk",
    "Clara Hoffmann",
    "Jin Choi",
    "Valentina Cruz",
    "Theo Papadakis",
    "Ruth Abebe",
    "Finn Gallagher",
    "Anika Sharma",
    "Gabriel Laurent",
)
STUDENT_IDS = tuple(f"demo-student-{number:02d}" for number in range(1, len(STUDENT_NAMES) + 1))
# Four students of their own per tutor; a fifth is the next tutor's first, so some students have two tutors.
OWN_STUDENTS = 4


def student_of(tutor: CastTutor, letter: str) -> str:
    """The `users.id` of the student a letter of the tutor's calendar names."""
    place = (tutor.number - 1) * OWN_STUDENTS + ord(letter) - ord("a")
    return STUDENT_IDS[place % len(STUDENT_IDS)]
