"""Everyday words for what the vocabulary calls otherwise; several names where a word means any of them."""

from __future__ import annotations

from collections.abc import Mapping

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    # animals
    "bug": ("insect",), "bull": ("ox or cow",), "bunny": ("rabbit or hare",), "calf": ("ox or cow",),
    "chicken": ("hen", "rooster"), "doggy": ("dog",), "ewe": ("sheep or goat",), "foal": ("horse",), "goat": ("ibex",),
    "hippo": ("hippopotamus",), "hound": ("dog",), "kitten": ("cat",), "kitty": ("cat",), "ladybug": ("ladybird",),
    "lamb": ("sheep or goat",), "mare": ("horse",), "orang-utan": ("orangutan",), "panda": ("giant panda",),
    "penguin": ("king penguin",), "piglet": ("pig",), "pony": ("horse",), "pup": ("dog",), "puppy": ("dog",),
    "stallion": ("horse",), "stork": ("white stork", "black stork"), "tortoise": ("turtle",),
    "wolf": ("grey wolf", "white wolf", "red wolf"),
    # vehicles
    "airplane": ("aircraft",), "automobile": ("car",), "bike": ("bicycle", "motorcycle or scooter"), "cab": ("taxi",),
    "caravan": ("camper van",), "coach": ("bus",), "fire truck": ("fire engine",), "garbage truck": ("rubbish truck",),
    "jet": ("airliner", "military aircraft"), "lorry": ("truck",), "motor car": ("car",),
    "motorbike": ("motorcycle or scooter",), "motorboat": ("speedboat",), "pickup": ("pickup truck",),
    "plane": ("aircraft",), "race car": ("racing car",), "sailboat": ("sailing boat",),
    "station wagon": ("estate car",), "streetcar": ("tram",), "subway train": ("train",),
    "van": ("minivan", "moving van", "police van"), "warplane": ("military aircraft",), "yacht": ("sailing boat",),
    # food and drink
    "burger": ("cheeseburger",), "cappuccino": ("espresso",), "coffee": ("espresso",),
    "corn": ("sweetcorn", "ear of corn"), "donut": ("doughnut",), "hamburger": ("cheeseburger",),
    "hotdog": ("hot dog",), "maize": ("sweetcorn", "ear of corn"), "meal": ("food",), "popsicle": ("ice lolly",),
    "wine": ("red wine",), "zucchini": ("courgette",),
    # things at home and at work
    "armchair": ("seat",), "bin": ("waste bin",), "bookshelf": ("bookcase",), "cell phone": ("mobile phone",),
    "cellphone": ("mobile phone",), "cooker": ("stove",), "couch": ("sofa",), "crib": ("cot",),
    "cupboard": ("wardrobe", "china cabinet", "medicine cabinet"), "diaper": ("nappy",),
    "dresser": ("chest of drawers",), "fan": ("electric fan",), "flashlight": ("torch",), "freezer": ("refrigerator",),
    "fridge": ("refrigerator",), "garbage can": ("waste bin",), "hair drier": ("hair dryer",),
    "hairdryer": ("hair dryer",), "hoover": ("vacuum cleaner",), "houseplant": ("potted plant",),
    "iron": ("clothes iron",), "jacuzzi": ("hot tub",), "lamp": ("table lamp",), "mailbox": ("letterbox",),
    "microwave": ("microwave oven",), "mobile": ("mobile phone",), "monitor": ("computer monitor",),
    "mug": ("coffee mug",), "notebook computer": ("laptop",), "pacifier": ("baby's dummy",), "pan": ("frying pan",),
    "pc": ("desktop computer",), "phone": ("telephone",), "pitcher": ("jug",),
    "pot": ("cauldron", "slow cooker", "Dutch oven"), "remote": ("remote control",), "settee": ("sofa",),
    "smartphone": ("mobile phone",), "table": ("dining table",), "television set": ("television",),
    "trash can": ("waste bin",), "tv": ("television",), "watch": ("digital watch",),
    # things to wear and to carry
    "boot": ("cowboy boot",), "clothes": ("clothing",), "garment": ("clothing",),
    "helmet": ("crash helmet", "football helmet"), "jumper": ("sweatshirt", "cardigan"), "luggage": ("bag",),
    "purse": ("handbag", "wallet"), "rucksack": ("backpack",), "shirt": ("T-shirt",), "sneaker": ("running shoe",),
    "sweater": ("sweatshirt", "cardigan"), "tee shirt": ("T-shirt",), "tie": ("necktie", "bow tie"),
    "trainer": ("running shoe",), "trousers": ("jeans",),
    # places and the rest
    "beach": ("seashore",), "coast": ("seashore",), "football": ("soccer ball", "rugby ball"),
    "gas pump": ("petrol pump",), "human": ("person",), "lake": ("lakeside",), "movie theater": ("cinema",),
    "road sign": ("street sign",), "scenery": ("landscape",), "sea": ("seashore",), "shore": ("seashore",),
    "store": ("shop",), "teddy": ("teddy bear",), "traffic sign": ("street sign",), "website": ("web page",),
}  # fmt: skip
