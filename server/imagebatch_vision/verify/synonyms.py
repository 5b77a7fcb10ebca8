"""Everyday words for what the vocabulary calls otherwise; several names where a word means any of them."""

from __future__ import annotations

from collections.abc import Mapping

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    # animals
    "alsatian": ("German shepherd",), "big cat": ("lion", "tiger", "leopard", "snow leopard", "jaguar", "cheetah"),
    "bug": ("insect",), "bull": ("ox or cow",), "bunny": ("rabbit or hare",), "calf": ("ox or cow",),
    "canine": ("dog", "wolf or wild dog", "fox"), "chicken": ("hen", "rooster"), "chimp": ("chimpanzee",),
    "cockerel": ("rooster",), "doggie": ("dog",), "doggy": ("dog",), "dromedary": ("camel",), "ewe": ("sheep or goat",),
    "feline": ("cat", "wild cat"), "foal": ("horse",), "gator": ("alligator",), "geese": ("goose",), "goat": ("ibex",),
    "hippo": ("hippopotamus",), "hog": ("pig",), "hound": ("dog",), "house cat": ("cat",), "killer whale": ("orca",),
    "kitten": ("cat",), "kitty": ("cat",), "ladybug": ("ladybird",), "lamb": ("sheep or goat",), "mare": ("horse",),
    "moggy": ("cat",), "mountain lion": ("cougar",), "mutt": ("dog",), "orang-utan": ("orangutan",),
    "oxen": ("ox or cow",), "panda": ("giant panda",), "penguin": ("king penguin",),
    "pet": ("cat", "dog", "hamster", "guinea pig"), "piglet": ("pig",), "pony": ("horse",), "pooch": ("dog",),
    "puma": ("cougar",), "pup": ("dog",), "puppy": ("dog",), "pussycat": ("cat",), "serpent": ("snake",),
    "stallion": ("horse",), "stork": ("white stork", "black stork"), "toadstool": ("mushroom or fungus",),
    "tortoise": ("turtle",), "wolf": ("grey wolf", "white wolf", "red wolf"),
    # vehicles
    "airplane": ("aircraft",), "auto": ("car",), "automobile": ("car",), "bike": ("bicycle", "motorcycle or scooter"),
    "cab": ("taxi",), "caravan": ("camper van",), "coach": ("bus",), "fire truck": ("fire engine",),
    "garbage truck": ("rubbish truck",), "jet": ("airliner", "military aircraft"), "lorry": ("truck",),
    "motor car": ("car",), "motorbike": ("motorcycle or scooter",), "motorboat": ("speedboat",), "motorcar": ("car",),
    "motorhome": ("camper van",), "pickup": ("pickup truck",), "plane": ("aircraft",), "pushbike": ("bicycle",),
    "race car": ("racing car",), "sailboat": ("sailing boat",), "station wagon": ("estate car",),
    "streetcar": ("tram",), "subway train": ("train",), "van": ("minivan", "moving van", "police van"),
    "warplane": ("military aircraft",), "yacht": ("sailing boat",),
    # food and drink
    "beverage": ("drink",), "burger": ("cheeseburger",), "cappuccino": ("espresso",), "capsicum": ("bell pepper",),
    "coffee": ("espresso",), "corn": ("sweetcorn", "ear of corn"), "donut": ("doughnut",),
    "hamburger": ("cheeseburger",), "hotdog": ("hot dog",), "maize": ("sweetcorn", "ear of corn"), "meal": ("food",),
    "popsicle": ("ice lolly",), "sweet pepper": ("bell pepper",), "veggie": ("vegetable",), "wine": ("red wine",),
    "zucchini": ("courgette",),
    # things at home and at work
    "armchair": ("seat",), "atm": ("cash machine",), "ax": ("hatchet",), "axe": ("hatchet",), "bin": ("waste bin",),
    "biro": ("ballpoint pen",), "bookshelf": ("bookcase",), "cashpoint": ("cash machine",),
    "cell phone": ("mobile phone",), "cellphone": ("mobile phone",), "cobweb": ("spider's web",), "cooker": ("stove",),
    "copier": ("photocopier",), "copy machine": ("photocopier",), "couch": ("sofa",), "crib": ("cot",),
    "cupboard": ("wardrobe", "china cabinet", "medicine cabinet"), "cutlery": ("fork", "knife", "spoon"),
    "diaper": ("nappy",), "dresser": ("chest of drawers",), "dustbin": ("waste bin",), "fan": ("electric fan",),
    "fiddle": ("violin",), "firearm": ("gun",), "flashlight": ("torch",), "freezer": ("refrigerator",),
    "fridge": ("refrigerator",), "garbage can": ("waste bin",), "hair drier": ("hair dryer",),
    "hairdryer": ("hair dryer",), "handgun": ("revolver",), "hoover": ("vacuum cleaner",),
    "houseplant": ("potted plant",), "iron": ("clothes iron",), "jacuzzi": ("hot tub",), "lamp": ("table lamp",),
    "laptop computer": ("laptop",), "mailbox": ("letterbox",), "mic": ("microphone",), "microwave": ("microwave oven",),
    "mobile": ("mobile phone",), "monitor": ("computer monitor",), "mouth organ": ("harmonica",),
    "mug": ("coffee mug",), "notebook computer": ("laptop",), "pacifier": ("baby's dummy",), "pan": ("frying pan",),
    "pc": ("desktop computer",), "phone": ("telephone",), "pistol": ("revolver",), "pitcher": ("jug",),
    "pot": ("cauldron", "slow cooker", "Dutch oven"), "remote": ("remote control",), "rubbish bin": ("waste bin",),
    "sax": ("saxophone",), "settee": ("sofa",), "silverware": ("fork", "knife", "spoon"),
    "smartphone": ("mobile phone",), "snooker table": ("pool table",), "speaker": ("loudspeaker",),
    "spider web": ("spider's web",), "table": ("dining table",), "television set": ("television",),
    "telly": ("television",), "tennis racquet": ("tennis racket",), "trash can": ("waste bin",), "tv": ("television",),
    "wastebasket": ("waste bin",), "watch": ("digital watch",),
    # things to wear and to carry
    "bathing suit": ("swimsuit",), "boot": ("cowboy boot",), "brassiere": ("bra",), "clothes": ("clothing",),
    "footwear": ("shoe",), "garment": ("clothing",), "helmet": ("crash helmet", "football helmet"),
    "jumper": ("sweatshirt", "cardigan"), "luggage": ("bag",), "pajamas": ("pyjamas",), "pants": ("jeans",),
    "purse": ("handbag", "wallet"), "rucksack": ("backpack",), "shirt": ("T-shirt",), "sneaker": ("running shoe",),
    "sweater": ("sweatshirt", "cardigan"), "tee shirt": ("T-shirt",), "tie": ("necktie", "bow tie"),
    "trainer": ("running shoe",), "trousers": ("jeans",),
    # places and the rest
    "beach": ("seashore",), "blossom": ("flower",), "bookshop": ("bookstore",), "coast": ("seashore",),
    "football": ("soccer ball", "rugby ball"), "gas pump": ("petrol pump",), "grocery store": ("grocery shop",),
    "human": ("person",), "human being": ("person",), "jail": ("prison",), "lake": ("lakeside",),
    "movie theater": ("cinema",), "movie theatre": ("cinema",), "ocean": ("seashore",), "postbox": ("letterbox",),
    "road sign": ("street sign",), "scenery": ("landscape",), "sea": ("seashore",), "seaside": ("seashore",),
    "shoe shop": ("shoe store",), "shore": ("seashore",), "stoplight": ("traffic light",), "store": ("shop",),
    "teddy": ("teddy bear",), "traffic sign": ("street sign",), "traffic signal": ("traffic light",),
    "website": ("web page",),
}  # fmt: skip

_PEOPLE = (
    "adult", "athlete", "babies", "baby", "boy", "child", "children", "crowd", "cyclist", "gentleman", "girl", "guy",
    "infant", "kid", "ladies", "lady", "man", "men", "pedestrian", "police officer", "policeman", "soldier", "teenager",
    "toddler", "woman", "women", "worker",
)  # fmt: skip

NARROWER: Mapping[str, str] = dict.fromkeys(_PEOPLE, "person")
"""Words for some of what a term of the vocabulary names. What else it names looks the same to the models, so to see it
never supports such a word; to see none of it speaks against both alike."""
