"""The classes of Mapillary Vistas by id, and what they are in the class spaces of Cityscapes.

Seven classes of v1.x: the table of ESL's code. Nineteen: the table of RobustNet's evaluation on Mapillary, repeated by
later work; ADVENT and ESL have none. The ids of v2.0 are derived here from v1.x: a name that both have keeps its class,
and a class that v2.0 divided hands its class to its parts.
"""

from __future__ import annotations

V1_NAMES: tuple[str, ...] = (
    "Bird", "Ground Animal", "Curb", "Fence", "Guard Rail", "Barrier", "Wall", "Bike Lane", "Crosswalk - Plain",
    "Curb Cut", "Parking", "Pedestrian Area", "Rail Track", "Road", "Service Lane", "Sidewalk", "Bridge", "Building",
    "Tunnel", "Person", "Bicyclist", "Motorcyclist", "Other Rider", "Lane Marking - Crosswalk",
    "Lane Marking - General", "Mountain", "Sand", "Sky", "Snow", "Terrain", "Vegetation", "Water", "Banner", "Bench",
    "Bike Rack", "Billboard", "Catch Basin", "CCTV Camera", "Fire Hydrant", "Junction Box", "Mailbox", "Manhole",
    "Phone Booth", "Pothole", "Street Light", "Pole", "Traffic Sign Frame", "Utility Pole", "Traffic Light",
    "Traffic Sign (Back)", "Traffic Sign (Front)", "Trash Can", "Bicycle", "Boat", "Bus", "Car", "Caravan",
    "Motorcycle", "On Rails", "Other Vehicle", "Trailer", "Truck", "Wheeled Slow", "Car Mount", "Ego Vehicle",
    "Unlabeled",
)  # fmt: skip
"""The readable names of v1.x in the order of their ids."""

V2_NAMES: tuple[str, ...] = (
    "Bird", "Ground Animal", "Ambiguous Barrier", "Concrete Block", "Curb", "Fence", "Guard Rail", "Barrier",
    "Road Median", "Road Side", "Lane Separator", "Temporary Barrier", "Wall", "Bike Lane", "Crosswalk - Plain",
    "Curb Cut", "Driveway", "Parking", "Parking Aisle", "Pedestrian Area", "Rail Track", "Road", "Road Shoulder",
    "Service Lane", "Sidewalk", "Traffic Island", "Bridge", "Building", "Garage", "Tunnel", "Person", "Person Group",
    "Bicyclist", "Motorcyclist", "Other Rider", "Lane Marking - Dashed Line", "Lane Marking - Straight Line",
    "Lane Marking - Zigzag Line", "Lane Marking - Ambiguous", "Lane Marking - Arrow (Left)",
    "Lane Marking - Arrow (Other)", "Lane Marking - Arrow (Right)", "Lane Marking - Arrow (Split Left or Straight)",
    "Lane Marking - Arrow (Split Right or Straight)", "Lane Marking - Arrow (Straight)", "Lane Marking - Crosswalk",
    "Lane Marking - Give Way (Row)", "Lane Marking - Give Way (Single)", "Lane Marking - Hatched (Chevron)",
    "Lane Marking - Hatched (Diagonal)", "Lane Marking - Other", "Lane Marking - Stop Line",
    "Lane Marking - Symbol (Bicycle)", "Lane Marking - Symbol (Other)", "Lane Marking - Text",
    "Lane Marking (only) - Dashed Line", "Lane Marking (only) - Crosswalk", "Lane Marking (only) - Other",
    "Lane Marking (only) - Test", "Mountain", "Sand", "Sky", "Snow", "Terrain", "Vegetation", "Water", "Banner",
    "Bench", "Bike Rack", "Catch Basin", "CCTV Camera", "Fire Hydrant", "Junction Box", "Mailbox", "Manhole",
    "Parking Meter", "Phone Booth", "Pothole", "Signage - Advertisement", "Signage - Ambiguous", "Signage - Back",
    "Signage - Information", "Signage - Other", "Signage - Store", "Street Light", "Pole", "Pole Group",
    "Traffic Sign Frame", "Utility Pole", "Traffic Cone", "Traffic Light - General (Single)",
    "Traffic Light - Pedestrians", "Traffic Light - General (Upright)", "Traffic Light - General (Horizontal)",
    "Traffic Light - Cyclists", "Traffic Light - Other", "Traffic Sign - Ambiguous", "Traffic Sign (Back)",
    "Traffic Sign - Direction (Back)", "Traffic Sign - Direction (Front)", "Traffic Sign (Front)",
    "Traffic Sign - Parking", "Traffic Sign - Temporary (Back)", "Traffic Sign - Temporary (Front)", "Trash Can",
    "Bicycle", "Boat", "Bus", "Car", "Caravan", "Motorcycle", "On Rails", "Other Vehicle", "Trailer", "Truck",
    "Vehicle Group", "Wheeled Slow", "Water Valve", "Car Mount", "Dynamic", "Ego Vehicle", "Ground", "Static",
    "Unlabeled",
)  # fmt: skip
"""The readable names of v2.0 in the order of their ids."""

_SEVEN: dict[str, tuple[str, ...]] = {
    "flat": (
        "Bike Lane", "Crosswalk - Plain", "Curb Cut", "Parking", "Pedestrian Area", "Rail Track", "Road",
        "Service Lane", "Sidewalk", "Lane Marking - Crosswalk", "Lane Marking - General", "Terrain",
    ),
    "construction": ("Curb", "Fence", "Guard Rail", "Barrier", "Wall", "Bridge", "Building", "Tunnel"),
    "object": (
        "Pothole", "Street Light", "Pole", "Traffic Sign Frame", "Utility Pole", "Traffic Light",
        "Traffic Sign (Back)", "Traffic Sign (Front)",
    ),
    "nature": ("Vegetation",),
    "sky": ("Sky",),
    "human": ("Person", "Bicyclist", "Motorcyclist", "Other Rider"),
    "vehicle": (
        "Bicycle", "Boat", "Bus", "Car", "Caravan", "Motorcycle", "On Rails", "Other Vehicle", "Trailer", "Truck",
        "Wheeled Slow",
    ),
}  # fmt: skip
_NINETEEN: dict[str, tuple[str, ...]] = {
    "road": ("Road", "Lane Marking - General", "Manhole"),
    "sidewalk": ("Curb", "Sidewalk"),
    "building": ("Building",),
    "wall": ("Wall",),
    "fence": ("Fence",),
    "pole": ("Pole", "Utility Pole"),
    "traffic light": ("Traffic Light",),
    "traffic sign": ("Traffic Sign (Front)",),
    "vegetation": ("Vegetation",),
    "terrain": ("Terrain",),
    "sky": ("Sky",),
    "person": ("Person",),
    "rider": ("Bicyclist", "Motorcyclist", "Other Rider"),
    "car": ("Car",),
    "truck": ("Truck",),
    "bus": ("Bus",),
    "train": ("On Rails",),
    "motorcycle": ("Motorcycle",),
    "bicycle": ("Bicycle",),
}

# what v2.0 divided or added -> the class of v1.x it was; what is not here and not in v1.x is void
_V1_OF_V2: dict[str, str] = {
    "Concrete Block": "Barrier",
    "Road Median": "Barrier",
    "Lane Separator": "Barrier",
    "Temporary Barrier": "Barrier",
    "Driveway": "Service Lane",
    "Parking Aisle": "Parking",
    "Road Shoulder": "Road",
    "Traffic Island": "Sidewalk",
    "Garage": "Building",
    "Person Group": "Person",
    "Pole Group": "Pole",
    "Signage - Advertisement": "Billboard",
    "Signage - Store": "Billboard",
    "Traffic Sign - Direction (Back)": "Traffic Sign (Back)",
    "Traffic Sign - Temporary (Back)": "Traffic Sign (Back)",
    "Traffic Sign - Direction (Front)": "Traffic Sign (Front)",
    "Traffic Sign - Temporary (Front)": "Traffic Sign (Front)",
    "Traffic Sign - Parking": "Traffic Sign (Front)",
    "Vehicle Group": "Other Vehicle",
}


def _as_v1(name: str) -> str:
    """The v1.x name of a v2.0 class."""
    if name in V1_NAMES:
        return name
    if name.startswith("Traffic Light - "):
        return "Traffic Light"
    if name.startswith("Lane Marking"):
        return "Lane Marking - Crosswalk" if name.endswith("Crosswalk") else "Lane Marking - General"
    return _V1_OF_V2.get(name, "Unlabeled")


def _by_id(classes: dict[str, tuple[str, ...]], names: tuple[str, ...]) -> dict[int, str]:
    owner = {member: name for name, members in classes.items() for member in members}
    return {number: owner[_as_v1(name)] for number, name in enumerate(names) if _as_v1(name) in owner}


V1_SEVEN, V1_NINETEEN = _by_id(_SEVEN, V1_NAMES), _by_id(_NINETEEN, V1_NAMES)
V2_SEVEN, V2_NINETEEN = _by_id(_SEVEN, V2_NAMES), _by_id(_NINETEEN, V2_NAMES)
