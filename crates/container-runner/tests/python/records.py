from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, TypedDict

@dataclass
class User:
    name: str
    age: int

class Row(TypedDict):
    amount: float

class Point(NamedTuple):
    x: int

def user() -> User:
    return User("Ann", "forty")

def users() -> Dict[str, List[User]]:
    return {"x": [User("Ann", 40), User(None, 40)]}

def rows() -> List[Row]:
    return [{"amount": 1}, {}]

def point() -> Optional[Point]:
    return Point("a")
