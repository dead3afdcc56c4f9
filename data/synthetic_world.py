"""An invented world of films and people who rate them.

Every random number is a hash of (seed, purpose, user or item, step), not the next
one of a stream. So a user's timeline does not depend on who is generated beside it,
a world comes out the same in blocks of any size, and since only integer operations
and IEEE additions, multiplications and divisions are used, it does so with every
NumPy version and on every processor.

How a timeline comes about, step by step:

- A share of the choices follows a habit. The films stand in an order, as on a shelf,
  the parts of a series one after the other. By habit a user goes on from one of the
  last items, most often the very last, to one of the next few on the shelf: forward
  only, and rather to one that suits the taste of the moment.
- Other choices follow the user's taste: one of two favourite genres, within it by
  popularity. Now and then a favourite gives way to another, drawn from long-term
  preferences that depend on occupation, age, gender and person. So the genres of
  the last items tell what comes next, also for items too rare to be known by id.
- The rest goes by popularity alone, which falls with the rank by a power law.
- Nobody chooses an item twice, and users rate in bursts that share a timestamp.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

GENRES = (
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
NUM_OCCUPATIONS = 21

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]

# How many films of each genre there are, relative to the others; same order as GENRES.
_GENRE_WEIGHTS = (12, 7, 3, 5, 30, 6, 4, 38, 3, 2, 9, 3, 4, 12, 8, 13, 4, 2)
_MAX_GENRES = 3

# Where a choice comes from, and how it looks back.
_HABIT = 0.5
_LAG_WEIGHTS = (0.66, 0.17, 0.09, 0.05, 0.03)
_SUCCESSORS = 8
_FURTHER_IS_RARER = 0.85
_NEXT_PART = 3.0  # times as likely as another film at the same place
_SUCCESSOR_TRIES = 3  # to find one that suits the taste of the moment
_FIRST_FAVOURITE, _SECOND_FAVOURITE = 0.7, 0.2
_FAVOURITE_CHANGES = 0.02
# Then the catalogue's unseen items are drawn evenly: at least half are unseen.
_TRIES = 8

_SHARES_TIMESTAMP = 0.5  # each row joins the one before, so 1 - 0.5² have company
_FIRST_DAY = 960_000_000  # 3 June 2000
_DAYS_OF_ARRIVALS = 900
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

_MIN_LENGTH = 20  # as in MovieLens, where the mean allows it
ROWS_PER_BLOCK = 1_000_000
_SEEN_BYTES_PER_BLOCK = 64 * 2**20


@dataclass(frozen=True)
class WorldSize:
    """How much to generate.

    Attributes:
        users: Number of users; each has at least one rating.
        items: Number of items in the catalogue; the least popular may stay unrated.
        ratings: Number of ratings, exactly; a user rates at most half the items.
        seed: Any integer from 0 to 2**63 - 1.

    Raises:
        ValueError: the three numbers do not go together.
    """

    users: int
    items: int
    ratings: int
    seed: int

    def __post_init__(self) -> None:
        if self.users < 1 or self.items < 2:
            raise ValueError(
                "expected at least 1 user and 2 items, "
                f"received users={self.users}, items={self.items}"
            )
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"expected a seed in [0, 2**63), received {self.seed}")
        most = self.users * self.longest
        if not self.users <= self.ratings <= most:
            raise ValueError(
                f"{self.users} users and {self.items} items allow {self.users} to "
                f"{most} ratings (a user rates at least one item and at most half "
                f"of them), received ratings={self.ratings}"
            )

    @property
    def longest(self) -> int:
        """The longest timeline that may occur."""
        return self.items // 2


@dataclass(frozen=True)
class Catalogue:
    """Items by their index 0 … items-1, which is the order on the shelf.

    Attributes:
        series: int64 [items], 0 for the first series; a single film is a series of 1.
        part: int64 [items], 0 for the first part.
        year: int64 [items], year of release.
        genres: bool [items, 18], columns as in `GENRES`, 1 to 3 of them true.
        quality: float64 [items] in [0, 1).
        popularity: float64 [items], relative.
        place: int64 [items], a permutation: where an item stands in the item table.
    """

    series: Ints
    part: Ints
    year: Ints
    genres: Bools
    quality: Floats
    popularity: Floats
    place: Ints


@dataclass(frozen=True)
class People:
    """Users by their index.

    Attributes:
        male: bool [users].
        age: int64 [users], in years.
        occupation: int64 [users], 0 to 20.
        zip_code: int64 [users], 0 to 99999.
    """

    male: Bools
    age: Ints
    occupation: Ints
    zip_code: Ints


@dataclass(frozen=True)
class Ratings:
    """Ratings of some users, sorted by user, within a user in order of choice.

    Attributes:
        user: int64 [rows], user index.
        item: int64 [rows], item index.
        liking: float64 [rows], about 0.5 to 5.5, what the stars are rounded from.
        timestamp: int64 [rows], Unix seconds.
        shuffle: uint64 [rows], a hash of (seed, user, item) to sort by.
    """

    user: Ints
    item: Ints
    liking: Floats
    timestamp: Ints
    shuffle: Hashes


def make_catalogue(size: WorldSize) -> Catalogue:
    """Invents the items of a world."""
    seed, items = size.seed, size.items
    index = np.arange(items)

    # More lengths than needed, then cut: every series has at least one film.
    lengths = _SERIES_LENGTHS[_below(_hash(seed, _Purpose.SERIES, index), 10)]
    ends = np.minimum(np.cumsum(lengths), items)
    ends = ends[: np.searchsorted(ends, items) + 1]
    starts = np.concatenate(([0], ends[:-1]))
    series = np.repeat(np.arange(len(ends)), ends - starts)
    part = index - starts[series]

    first_year = 1996 - (60 * _cube(_unit(_hash(seed, _Purpose.YEAR, index)))).astype(
        np.int64
    )
    year = np.minimum(first_year[series] + 2 * part, 2000)

    genres = _make_genres(seed, series)

    rank = np.empty(len(ends), np.int64)
    by_chance = _hash(seed, _Purpose.POPULARITY, np.arange(len(ends)))
    rank[np.argsort(by_chance, kind="stable")] = np.arange(len(ends))
    of_part = 0.5 + 0.5 * _unit(_hash(seed, _Purpose.PART_POPULARITY, index))
    # Zipf's law with Mandelbrot's offset, which flattens the head.
    popularity = of_part / (rank[series] + 8.0)

    return Catalogue(
        series=series,
        part=part,
        year=year,
        genres=genres,
        quality=_unit(_hash(seed, _Purpose.QUALITY, index)),
        popularity=popularity,
        place=np.argsort(_hash(seed, _Purpose.PLACE, index), kind="stable"),
    )


def make_people(size: WorldSize) -> People:
    """Invents the users of a world."""
    return _people(size.seed, np.arange(size.users))


def timeline_lengths(size: WorldSize) -> Ints:
    """Number of ratings of each user: int64 [users] with a heavy tail, sum exact."""
    shortest = min(_MIN_LENGTH, max(1, size.ratings // size.users // 2))
    room = size.longest - shortest
    hashes = _hash(size.seed, _Purpose.LENGTH, np.arange(size.users))
    weight = 1.0 / (_unit(hashes) + 0.02)
    spare = size.ratings - shortest * size.users

    low, high = 0.0, float(room)  # all weights exceed 0.98: high - 1 fills every room
    high = 2.0 * high + 2.0
    for _ in range(64):
        middle = (low + high) / 2
        if np.minimum((weight * middle).astype(np.int64), room).sum() <= spare:
            low = middle
        else:
            high = middle
    extra = np.minimum((weight * low).astype(np.int64), room)

    left = spare - int(extra.sum())
    order = np.argsort(hashes, kind="stable")
    while left:
        lucky = order[extra[order] < room][:left]
        extra[lucky] += 1
        left -= len(lucky)
    return shortest + extra


def generate_ratings(
    size: WorldSize, catalogue: Catalogue, rows_per_block: int = ROWS_PER_BLOCK
) -> Iterator[Ratings]:
    """Yields the ratings of a world, users in order, in blocks of whole users.

    Args:
        size: What to generate.
        catalogue: The items, of the same size.
        rows_per_block: Ratings in a block, about; bounds the memory and changes
            nothing else.
    """
    lengths = timeline_lengths(size)
    most_users = max(1, 8 * _SEEN_BYTES_PER_BLOCK // size.items)
    chooser = _Chooser(size, catalogue)
    totals = np.cumsum(lengths)
    begin = 0
    while begin < size.users:
        done = int(totals[begin - 1]) if begin else 0
        end = int(np.searchsorted(totals, done + rows_per_block, side="right"))
        end = min(max(end, begin + 1), begin + most_users, size.users)
        yield _ratings_of(size, catalogue, chooser, begin, lengths[begin:end])
        begin = end


class _Purpose(enum.IntEnum):
    """What a random number is for: no two uses may share one."""

    SERIES = enum.auto()
    YEAR = enum.auto()
    GENRE = enum.auto()
    POPULARITY = enum.auto()
    PART_POPULARITY = enum.auto()
    QUALITY = enum.auto()
    PLACE = enum.auto()
    LENGTH = enum.auto()
    PERSON = enum.auto()
    OCCUPATION_TASTE = enum.auto()
    AGE_TASTE = enum.auto()
    GENDER_TASTE = enum.auto()
    OWN_TASTE = enum.auto()
    FAVOURITE = enum.auto()
    CHOICE = enum.auto()
    LIKING = enum.auto()
    TIME = enum.auto()
    ARRIVAL = enum.auto()
    SHUFFLE = enum.auto()


_SERIES_LENGTHS = np.array([1, 1, 1, 1, 1, 1, 2, 2, 3, 5])
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_TWO_TO_MINUS_53 = 1.0 / 2**53


def _mix(value: Hashes) -> Hashes:
    """SplitMix64's finalizer (Steele, Lea, Flood 2014), uint64 [n] to uint64 [n]."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _hash(seed: int, purpose: int, index: Ints) -> Hashes:
    """A random uint64 for each index."""
    key = _mix(np.array([seed], np.uint64) + _GOLDEN)
    key = _mix(key + np.array([purpose], np.uint64) * _GOLDEN)
    return _next(key, index)


def _next(key: Hashes, index: Ints) -> Hashes:
    """A random uint64 for each (key, index), which broadcast."""
    return _mix(key + index.astype(np.uint64) * _GOLDEN)


def _unit(hashes: Hashes) -> Floats:
    """Hashes as numbers in [0, 1)."""
    return (hashes >> np.uint64(11)).astype(np.float64) * _TWO_TO_MINUS_53


def _below(hashes: Hashes, bound: int) -> Ints:
    """Hashes as integers in [0, bound)."""
    return (_unit(hashes) * bound).astype(np.int64)


def _sixteen_bits(hashes: Hashes, quarter: int) -> Ints:
    """One of the four quarters of each hash, 0 to 65535."""
    return ((hashes >> np.uint64(16 * quarter)) & np.uint64(0xFFFF)).astype(np.int64)


def _cube(value: Floats) -> Floats:
    return value * value * value


def _bounds(weights: tuple[float, ...] | Floats) -> Ints:
    """Cumulated weights on the scale of 16 bits, to search with `side='right'`."""
    total = np.cumsum(np.asarray(weights, np.float64))
    return (total / total[-1] * 65_536).astype(np.int64)


class _Picker:
    """Draws items by popularity: of one genre, or (genre 18) of all."""

    def __init__(self, genres: Bools, popularity: Floats) -> None:
        groups = [np.flatnonzero(column) for column in genres.T]
        groups.append(np.arange(len(popularity)))
        self._members = np.concatenate(groups)
        self._upto = np.concatenate(([0.0], np.cumsum(popularity[self._members])))
        self._stop = np.cumsum([len(group) for group in groups])
        self._start = np.concatenate(([0], self._stop[:-1]))

    def __call__(self, genre: Ints, unit: Floats) -> Ints:
        """Items int64 [n] for genres int64 [n] that are not empty, and [0, 1) [n]."""
        start, stop = self._start[genre], self._stop[genre]
        low, high = self._upto[start], self._upto[stop]
        found = np.searchsorted(self._upto, low + unit * (high - low), side="right") - 1
        return self._members[np.clip(found, start, stop - 1)]


_ANY_GENRE = len(GENRES)


def _make_genres(seed: int, series: Ints) -> Bools:
    """Genres bool [items, 18], 1 to 3 of an item, the same for all of a series."""
    key = _hash(seed, _Purpose.GENRE, series)
    bounds = _bounds(_GENRE_WEIGHTS)
    genres = np.zeros((len(series), len(GENRES)), np.bool_)
    row = np.arange(len(series))
    wanted = 1 + np.searchsorted(_bounds((0.35, 0.4, 0.25)), _sixteen_bits(key, 0))
    for place in range(_MAX_GENRES):
        bits = _sixteen_bits(_next(key, np.array([place])), 0)
        genre = np.searchsorted(bounds, bits, side="right")
        has = wanted > place
        genres[row[has], genre[has]] = True
    return genres


def _successor_bounds(series: Ints, popularity: Floats) -> Ints:
    """How likely each of the next 8 items follows, cumulated: int64 [items, 8]."""
    index = np.arange(len(series))
    weights = np.empty((len(series), _SUCCESSORS))
    # Not mean(): the order in which it adds is NumPy's own affair.
    typical = np.cumsum(popularity)[-1] / len(popularity)
    nearness = 1.0
    for distance in range(1, _SUCCESSORS + 1):
        follower = (index + distance) % len(series)
        # Flatter than popularity itself: rare items must have predecessors too.
        weight = nearness * (popularity[follower] + typical)
        if distance == 1:
            weight = np.where(series[follower] == series, _NEXT_PART * weight, weight)
        weights[:, distance - 1] = weight
        nearness *= _FURTHER_IS_RARER
    total = np.cumsum(weights, axis=1)
    return (total / total[:, -1:] * 65_536).astype(np.int64)


def _people(seed: int, user: Ints) -> People:
    key = _hash(seed, _Purpose.PERSON, user)
    unit = [_unit(_next(key, np.array([field]))) for field in range(6)]
    return People(
        male=unit[0] < 0.7,
        age=(14 + 22 * unit[1] + 36 * unit[2] * unit[3]).astype(np.int64),
        occupation=(NUM_OCCUPATIONS * unit[4]).astype(np.int64),
        zip_code=(100_000 * unit[5]).astype(np.int64),
    )


class _Chooser:
    """Makes timelines, all users of a block at once, one step after the other."""

    def __init__(self, size: WorldSize, catalogue: Catalogue) -> None:
        self._seed = size.seed
        self._items = size.items
        self._successor_bounds = _successor_bounds(
            catalogue.series, catalogue.popularity
        )
        self._genres = catalogue.genres
        self._pick = _Picker(catalogue.genres, catalogue.popularity)
        self._genre_exists = catalogue.genres.any(axis=0)
        self._habit = int(_HABIT * 65_536)
        self._lags = _bounds(_LAG_WEIGHTS)
        self._first = int(_FIRST_FAVOURITE * 65_536)
        self._second = int((_FIRST_FAVOURITE + _SECOND_FAVOURITE) * 65_536)
        self._changes = int(_FAVOURITE_CHANGES * 65_536)

    def choose(self, user: Ints, length: Ints) -> tuple[Ints, Ints]:
        """Timelines of users.

        Args:
            user: int64 [users], user indices.
            length: int64 [users], items to choose, at least 1.

        Returns:
            Items and the user's first favourite genre at the time, both int64
            [sum of length], users one after the other.
        """
        # Longest first: who is still choosing at a step is then a prefix.
        order = np.argsort(-length, kind="stable")
        start = (np.cumsum(length) - length)[order]
        active = np.searchsorted(-length[order], -np.arange(length.max()))
        user = user[order]
        tastes = self._long_term_tastes(user)
        change_key = _hash(self._seed, _Purpose.FAVOURITE, user)
        choice_key = _hash(self._seed, _Purpose.CHOICE, user)

        every = np.arange(len(user))
        unset = np.full(len(user), -1)
        favourite = np.stack(  # [users, 2]
            [self._genre_of(tastes, _next(change_key, unset - k)) for k in (0, 1)],
            axis=1,
        )
        chosen = np.zeros(int(length.sum()), np.int64)
        mood = np.zeros(int(length.sum()), np.int64)
        seen = np.zeros((len(user), (self._items + 7) // 8), np.uint8)

        for step, count in enumerate(active):
            hashes = _next(change_key[:count], np.array([step]))
            changed = np.flatnonzero(_sixteen_bits(hashes, 0) < self._changes)
            if changed.size:
                which = _sixteen_bits(hashes[changed], 1) & 1
                fresh = self._genre_of(tastes[changed], _mix(hashes[changed]))
                favourite[changed, which] = fresh
            mood[start[:count] + step] = favourite[:count, 0]

            pending = every[:count]
            attempt = 0
            while pending.size:
                counter = np.array([step * 2**20 + attempt])
                hashes = _next(choice_key[pending], counter)
                if attempt < _TRIES:
                    item = self._propose(
                        hashes, chosen, start[pending], step, favourite[pending]
                    )
                else:
                    item = _below(hashes, self._items)
                byte, bit = item >> 3, (1 << (item & 7)).astype(np.uint8)
                new = (seen[pending, byte] & bit) == 0
                done = pending[new]
                seen[done, byte[new]] |= bit[new]
                chosen[start[done] + step] = item[new]
                pending = pending[~new]
                attempt += 1
        return chosen, mood

    def _propose(
        self, hashes: Hashes, chosen: Ints, start: Ints, step: int, favourite: Ints
    ) -> Ints:
        """One item for each hash: int64 [n]."""
        by_habit = (_sixteen_bits(hashes, 0) < self._habit) & (step > 0)
        item = np.empty(len(hashes), np.int64)

        habit = np.flatnonzero(by_habit)
        if habit.size:
            bits = hashes[habit]
            lag = 1 + np.searchsorted(self._lags, _sixteen_bits(bits, 1), side="right")
            source = chosen[start[habit] + step - np.minimum(lag, step)]
            item[habit] = self._follow(_mix(bits), source, favourite[habit, 0])

        taste = np.flatnonzero(~by_habit)
        if taste.size:
            bits = hashes[taste]
            level = _sixteen_bits(bits, 3)
            genre = np.where(
                level < self._first,
                favourite[taste, 0],
                np.where(level < self._second, favourite[taste, 1], _ANY_GENRE),
            )
            item[taste] = self._pick(genre, _unit(_mix(bits)))
        return item

    def _follow(self, hashes: Hashes, source: Ints, favourite: Ints) -> Ints:
        """A successor of each source, of the favourite genre if one is soon found."""
        item = np.empty(len(source), np.int64)
        unsuited = np.arange(len(source))
        for attempt in range(_SUCCESSOR_TRIES):
            bits = _sixteen_bits(hashes[unsuited], attempt)
            bounds = self._successor_bounds[source[unsuited]]
            further = (bounds <= bits[:, None]).sum(axis=1)
            found = (source[unsuited] + 1 + further) % self._items
            item[unsuited] = found
            suits = self._genres[found, favourite[unsuited]]
            unsuited = unsuited[~suits]
        return item

    def _long_term_tastes(self, user: Ints) -> Floats:
        """Cumulated genre weights, float64 [users, 18], the last column 1."""
        people = _people(self._seed, user)
        own = _unit(_next(self._keys(_Purpose.OWN_TASTE, user), _GENRE_INDEX))
        weights = np.asarray(_GENRE_WEIGHTS, np.float64) * (0.02 + _cube(own))
        for purpose, group in (
            (_Purpose.OCCUPATION_TASTE, people.occupation),
            (_Purpose.AGE_TASTE, people.age // 10),
            (_Purpose.GENDER_TASTE, people.male.astype(np.int64)),
        ):
            tilt = _unit(_next(self._keys(purpose, group), _GENRE_INDEX))
            weights *= 0.3 + 1.7 * tilt * tilt
        weights = np.where(self._genre_exists, weights, 0.0)
        total = np.cumsum(weights, axis=1)
        return total / total[:, -1:]

    def _keys(self, purpose: int, index: Ints) -> Hashes:
        return _hash(self._seed, purpose, index)[:, None]

    @staticmethod
    def _genre_of(tastes: Floats, hashes: Hashes) -> Ints:
        return (tastes <= _unit(hashes)[:, None]).sum(axis=1).astype(np.int64)


_GENRE_INDEX = np.arange(len(GENRES))


def _ratings_of(
    size: WorldSize, catalogue: Catalogue, chooser: _Chooser, begin: int, length: Ints
) -> Ratings:
    """The ratings of users `begin` … `begin + len(length) - 1`."""
    users = np.arange(begin, begin + len(length))
    item, mood = chooser.choose(users, length)
    user = np.repeat(users, length)
    first = np.cumsum(length) - length
    step = np.arange(len(item)) - np.repeat(first, length)
    shuffle = _next(_hash(size.seed, _Purpose.SHUFFLE, user), item)
    return Ratings(
        user=user,
        item=item,
        liking=_liking(size.seed, catalogue, user, item, mood),
        timestamp=_timestamps(size.seed, user, step, first, length),
        shuffle=shuffle,
    )


def _liking(
    seed: int, catalogue: Catalogue, user: Ints, item: Ints, mood: Ints
) -> Floats:
    """How much users like items: the film's quality, the mood, the user's own scale."""
    key = _hash(seed, _Purpose.LIKING, user)
    severity = _unit(key) - 0.5
    chance = _next(key, item)
    # The sum of three is bell-shaped enough, with no logarithm.
    noise = sum(_unit(_next(chance, np.array([k]))) for k in range(3)) - 1.5
    in_mood = catalogue.genres[item, mood]
    return (
        3.35 + 1.4 * (catalogue.quality[item] - 0.5) + 0.4 * in_mood - severity
    ) + 1.3 * noise


def _timestamps(seed: int, user: Ints, step: Ints, first: Ints, length: Ints) -> Ints:
    """Unix seconds that never fall within a user and strictly rise between bursts."""
    hashes = _next(_hash(seed, _Purpose.TIME, user), step)
    level, amount = _sixteen_bits(hashes, 1), _unit(_mix(hashes))
    minutes = 5 + (amount * _MINUTE).astype(np.int64)
    hours = _HOUR + (amount * _DAY).astype(np.int64)
    days = 3 * _DAY + (amount * 40 * _DAY).astype(np.int64)
    pause = np.where(
        level < 0.86 * 65_536, minutes, np.where(level < 0.97 * 65_536, hours, days)
    )
    joins = _sixteen_bits(hashes, 0) < _SHARES_TIMESTAMP * 65_536
    pause = np.where(joins, 0, pause)
    pause[first] = 0
    elapsed = np.cumsum(pause)
    elapsed -= np.repeat(elapsed[first], length)
    arrival = _hash(seed, _Purpose.ARRIVAL, user[first])
    arrival_second = _FIRST_DAY + _below(arrival, _DAYS_OF_ARRIVALS * _DAY)
    return np.repeat(arrival_second, length) + elapsed
