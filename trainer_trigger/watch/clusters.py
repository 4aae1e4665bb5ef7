"""From what came to what changes in the index: pure, on the rows that it asks for.

The clusters are those of the view `clusters`, worked out for the samples that came and for those that they move. Asking
costs as many rows as came and as their clusters have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal, Protocol

import msgspec

from trainer_trigger.watch.records import Member, Said, Seen, Word, lowest

By = Literal["sample_id", "duplicate_of", "cluster", "person"]


class Person(msgspec.Struct, frozen=True):
    """What is known of a person."""

    erased: bool = False
    last_word: Word | None = None

    @property
    def withdrawn(self) -> bool:
        return self.erased or (self.last_word is not None and self.last_word.denied)


class Known(Protocol):
    """What the index has."""

    def members(self, by: By, values: Collection[str]) -> list[Member]:
        """Those with one of these values in a column."""
        ...

    def persons(self, keys: Collection[str]) -> dict[str, Person]:
        """Those who said something."""
        ...

    def earlier(self, sample_ids: Collection[str]) -> dict[str, tuple[int | None, int | None]]:
        """`seen` and `since` in the index before this one, while this one fills."""
        ...


def merge(known: Known, seen: Iterable[Seen], said: Iterable[Said]) -> tuple[list[Member], dict[str, Person], int]:
    """The members and the persons that change, and by how much more clusters count. The same again changes nothing.

    1 what persons say → 2 the latest outcome of each sample → 3 who is current → 4 the clusters of what changed, and of
    what led to it → 5 who stands for each of these clusters.
    """
    work = _Work(known)
    # 1
    persons = _persons(known, said)
    turned = [key for key, (before, after) in persons.items() if before.withdrawn != after.withdrawn]
    work.load("person", turned)
    # 2
    came = list(seen)
    work.load("sample_id", {each.sample_id for each in came})
    earlier = known.earlier({each.sample_id for each in came})
    for each in came:
        work.take(each, earlier.get(each.sample_id, (None, None)))
    # 3
    asked = {member.person for member in work.now.values() if member.person is not None} - persons.keys()
    people = {**known.persons(asked), **{key: after for key, (_, after) in persons.items()}}
    for member in list(work.now.values()):
        withdrawn = member.person is not None and people.get(member.person, Person()).withdrawn
        work.put(msgspec.structs.replace(member, current=member.kept and not withdrawn))
    # 4
    moved = set(work.now)
    affected = work.regroup(moved)
    # 5
    work.elect(affected)
    changed = work.changed()
    more = sum(member.stands_since is not None for member in changed) - sum(
        before.stands_since is not None for member in changed if (before := work.before.get(member.sample_id))
    )
    return changed, {key: after for key, (before, after) in persons.items() if before != after}, more


def _persons(known: Known, said: Iterable[Said]) -> dict[str, tuple[Person, Person]]:
    heard: dict[str, list[Said]] = {}
    for each in said:
        heard.setdefault(each.person, []).append(each)
    before = known.persons(heard.keys())
    found = {}
    for key, all_said in heard.items():
        was = before.get(key, Person())
        words = [word for word in (was.last_word, *(each.word for each in all_said)) if word is not None]
        erased = was.erased or any(each.word is None for each in all_said)
        found[key] = (was, Person(erased, max(words, default=None)))
    return found


class _Work:
    """Members as they were and as they are now."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self.before: dict[str, Member] = {}
        self.now: dict[str, Member] = {}
        self._asked: set[str] = set()

    def load(self, by: By, values: Collection[str]) -> set[str]:
        """Fetch members; what was fetched before stays as it is now. No id is asked for twice. Answers their ids."""
        if by == "sample_id":
            values = set(values) - self._asked
            self._asked |= values
        found = set()
        for member in self._known.members(by, values) if values else ():
            found.add(member.sample_id)
            if member.sample_id not in self.before:
                self.before[member.sample_id] = member
                self.now.setdefault(member.sample_id, member)
        return found

    def put(self, member: Member) -> None:
        self.now[member.sample_id] = member

    def take(self, came: Seen, earlier: tuple[int | None, int | None]) -> None:
        """One outcome: the latest counts, and the first versions, which come first; compacted rows may look older."""
        facts = came.facts
        known = self.now.get(came.sample_id)
        seen = None if known is None else known.seen
        since = None if known is None else known.since
        if facts is not None:
            seen = _first(seen, earlier[0], came.version if facts.meets and not facts.awaits else None)
            since = _first(since, earlier[1], came.version if facts.good else None)
        if known is not None and known.place >= came.place:
            self.put(msgspec.structs.replace(known, seen=seen, since=since))
            return
        told = {} if facts is None else msgspec.structs.asdict(facts)
        kept = facts is not None
        latest = Member(sample_id=came.sample_id, place=came.place, kept=kept, seen=seen, since=since, **told)
        if known is not None:
            standing = known.stands, known.stands_seen, known.stands_since
            names = ("cluster", "stands", "stands_seen", "stands_since")
            latest = msgspec.structs.replace(latest, **dict(zip(names, (known.cluster, *standing), strict=True)))
        self.put(latest)

    def regroup(self, moved: set[str]) -> set[str]:
        """Find the clusters of what moved and of all that leads to it; answers the clusters to look at."""
        turned = {name for name in moved if self._link_before(name) != self.now[name].link}
        followed: set[str] = set()
        while turned:
            followers = self.load("duplicate_of", turned)
            followers |= {name for name, member in self.now.items() if member.duplicate_of in turned}
            followed |= turned
            moved |= followers
            turned = followers - followed
        wanted = {link for name in moved if (link := self.now[name].duplicate_of) is not None}
        while wanted := wanted - self.now.keys():
            found = self.load("sample_id", wanted)
            wanted = {link for name in found if (link := self.now[name].link) is not None}
        affected = set()
        for name in moved:
            member = self.now[name]
            cluster = self._root(member)
            affected |= {member.root, cluster}
            self.put(msgspec.structs.replace(member, cluster=None if cluster == name else cluster))
        return affected

    def elect(self, clusters: set[str]) -> None:
        """Say who stands for each of these clusters."""
        self.load("sample_id", clusters)
        self.load("cluster", clusters)
        by_cluster: dict[str, list[Member]] = {}
        for member in self.now.values():
            if member.root in clusters:
                by_cluster.setdefault(member.root, []).append(member)
        for members in by_cluster.values():
            first = min((member for member in members if member.current and member.meets), key=_order, default=None)
            for member in members:
                self.put(_standing(member, members) if member is first else _not_standing(member))

    def changed(self) -> list[Member]:
        return [member for name, member in sorted(self.now.items()) if self.before.get(name) != member]

    def _link_before(self, name: str) -> str | None:
        member = self.before.get(name)
        return None if member is None else member.link

    def _root(self, member: Member) -> str:
        """Where its way over current samples ends: at one that leads nowhere. A circle is its lowest id on the way."""
        if member.duplicate_of is None:
            return member.sample_id
        way = [member.duplicate_of]
        while (at := self.now.get(way[-1])) is not None and at.link is not None:
            if at.link in way:
                return min(way)
            way.append(at.link)
        return way[-1]


def _first(*versions: int | None) -> int | None:
    return next((version for version in versions if version is not None), None)


def _order(member: Member) -> tuple[object, ...]:
    """Who stands first for a cluster of those that meet the filter, as in the view `clusters`."""
    return member.awaits, -member.rank, -member.confidence, member.duplicate_of is not None, member.sample_id


def _standing(member: Member, members: Collection[Member]) -> Member:
    """The cluster counts if any of its samples can be trained on, though a better one may stand for it."""
    seen: int | None = None
    since: int | None = None
    for each in members:
        seen, since = lowest(seen, each.seen), lowest(since, each.since)
    return msgspec.structs.replace(
        member,
        stands=True,
        stands_seen=None if member.awaits else seen,
        stands_since=since if any(each.current and each.good for each in members) else None,
    )


def _not_standing(member: Member) -> Member:
    if not member.stands:
        return member
    return msgspec.structs.replace(member, stands=False, stands_seen=None, stands_since=None)
