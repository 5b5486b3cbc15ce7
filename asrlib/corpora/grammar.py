"""Sentences for the mini corpora, drawn from small grammars of everyday English and Mandarin with about a hundred words each."""

import random
import zlib
from collections.abc import Iterator

# One rule per line, `name = alternative | alternative`; repeated alternatives are likelier. Lower case names a rule, upper case is spoken.
ENGLISH = """
sentence = statement | statement | statement | long | request | request | question | question | promise | remark
statement = person past thing | person past thing when | person past thing place | when person past thing | person move | person move when
long = person past thing AND move | person past thing BECAUSE it | person move BECAUSE it
move = WENT TO THE building | WALKED TO THE building | WALKED TO THE RIVER | WAITED place
request = PLEASE act | act | act soon | DON'T act | PLEASE DON'T act
question = WHERE IS item | DID person find thing | DID person find thing when | WHO past thing | CAN YOU act | HOW MANY things ARE place \
    | HOW MUCH food IS place | WHAT IS place
promise = I'LL act | I'LL act soon | I WANT TO act | WE CAN act TOGETHER
remark = it | THANK YOU name | THANK YOU VERY MUCH | THANK YOU VERY MUCH name | GOOD daytime | GOOD daytime name \
    | person IS mood | person IS VERY mood | THE things ARE looks
it = IT WAS climate | IT WAS VERY climate | THE room WAS climate
act = OPEN THE door | CLEAN THE room | BRING them thing | PUT thing place | FIND thing | CARRY item | CALL person | THANK person | BUY goods
person = THE job | THE age job | MY family | MY age family | name | OUR NEIGHBOR
job = TEACHER | DOCTOR | FARMER | DRIVER
family = MOTHER | FATHER | SISTER | BROTHER
name = JOHN | MARY | PETER | ALICE
age = OLD | YOUNG | TALL
them = ME | HIM | HER
past = FOUND | BROUGHT | BOUGHT | SAW | LIKED
find = FIND | BRING | BUY | LIKE
thing = item | A size object | A colour object | goods
item = THE object | THE size object | THE colour object | MY object | MY size object
goods = number things | number colour things | SOME food | THE food
object = BOOK | LETTER | BASKET | JACKET | TABLE | PICTURE | BOX | LAMP
things = BOOKS | LETTERS | APPLES | FLOWERS | BOTTLES
food = BREAD | JUICE | COFFEE | SOUP
size = SMALL | HEAVY | BEAUTIFUL | NEW
colour = GREEN | YELLOW | BLACK
climate = COLD | WARM | QUIET
mood = HAPPY | QUIET | READY | COLD
looks = BEAUTIFUL | NEW | HEAVY | READY
number = THREE | SEVEN | SIX | TWENTY | A DOZEN
door = WINDOW | DOOR
place = IN THE room | NEAR THE RIVER | UNDER THE TABLE | BEHIND THE door | NEAR THE door | BEHIND THE building \
    | BETWEEN THE building AND THE RIVER | ON THE TABLE
room = KITCHEN | GARDEN | LIBRARY
building = SCHOOL | HOUSE | MARKET | LIBRARY
when = YESTERDAY | LAST NIGHT | LAST FRIDAY | EVERY MORNING | AFTER LUNCH | BEFORE DINNER | AT SIX O'CLOCK | IN THE EVENING
soon = TOMORROW | TOMORROW MORNING | AFTER LUNCH | BEFORE DINNER | AT SEVEN O'CLOCK | ON FRIDAY | NOW
daytime = MORNING | EVENING | NIGHT
"""

# Spaces separate the words of the grammar; sentences are spoken and written without spaces. Characters that espeak-ng misreads
# (兄, 胸) do not occur.
MANDARIN = """
sentence = command | command | command | statement | statement | question | weather | number_talk
command = 请 act | act | act | 请 帮 我 act | 不要 act | time act
act = 打开 room 的 device | 关闭 room 的 device | 打开 device | 关闭 device | 把 device 调到 number 度 | 播放 music \
    | 提醒 我 time todo | 给 person 打 电话 | 查询 place 的 天气 | 设定 number 度 | 调高 温度 | 调低 音量
device = 电灯 | 空调 | 电视 | 窗户 | 风扇 | 热水器
room = 客厅 | 卧室 | 厨房 | 书房
music = 音乐 | 新闻 | 轻松 的 音乐 | 一首 老 歌 | 昨天 的 新闻
todo = 开会 | 吃药 | 起床 | 买 goods | 去 place | 写 作业
statement = person time go | person time buy | person like thing | person 在 place study | person go | time person go
go = 去 place | 去 place study | 坐 vehicle 去 place | 走路 去 place
buy = 买 了 goods | 买 了 count goods | 看 了 count 书
like = 喜欢 | 不 喜欢 | 最 喜欢 | 想要
thing = goods | 红色 的 花 | 白色 的 花 | 绿色 的 茶 | 这 本 书 | 那 个 城市 | music
study = 学习 | 工作 | 休息 | 上班 | 见 朋友 | 吃饭
question = place 的 天气 怎么样 | 现在 几 点 | 你 知道 person 在 哪里 吗 | person 什么 时候 go | 今天 星期 几 | goods 多少 钱
weather = place time 会 下雨 | place time 会 下雪 | time 天气 很 mood | 外面 的 风 很 大
mood = 好 | 冷 | 热 | 不错
number_talk = person 家 有 count 人 | 我 的 号码 是 digit digit digit digit | 一共 number 元 | 这里 到 place 有 number 公里
person = 我 | 他 | 妈妈 | 爸爸 | 老师 | 医生 | 小王 | 我 的 朋友 | 他 的 同学 | 司机
place = 北京 | 上海 | 广州 | 学校 | 公司 | 市场 | 医院 | 公园 | 图书馆 | 火车站
vehicle = 火车 | 飞机 | 出租车 | 地铁
goods = 苹果 | 面包 | 牛奶 | 水果 | 鸡蛋 | 衣服 | 报纸 | 茶叶
count = 一些 | 两 个 | 三 个 | 很多 | 五 个
number = 十 | 二十 | 三十 | 十六 | 二十 digit | 五十 digit | 八十
digit = 一 | 二 | 三 | 四 | 五 | 六 | 七 | 八 | 九
time = 今天 | 明天 | 昨天 晚上 | 早上 digit 点 | 下午 digit 点 | 下 个 月 | 周末 | 星期 weekday
weekday = 一 | 二 | 三 | 四 | 五
"""

SPLITS = 16


def sentences(grammar: str, seed: int, shares: range) -> Iterator[str]:
    """Draws distinct sentences of 2 to 12 words from `grammar`, without end.

    The checksum of a sentence assigns it to one of 16 shares; sets with disjoint `shares` in range(16) have no sentence in common, whatever
    their sizes and seeds. ValueError: no further sentence was found.
    """
    rules = {name: [alternative.split() for alternative in text.split("|")] for name, text in _lines(grammar)}
    rng, seen = random.Random(f"{seed} {shares}"), set()
    for _ in range(2_000_000):
        words = _expand(rules, rng, "sentence")
        sentence = " ".join(words)
        if sentence not in seen and 2 <= len(words) <= 12 and zlib.crc32(sentence.encode()) % SPLITS in shares:
            seen.add(sentence)
            yield sentence
    raise ValueError(f"the grammar has few sentences: {len(seen)} drawn")


def _lines(grammar: str) -> list[tuple[str, str]]:
    parts = (line.partition("=") for line in grammar.strip().splitlines())
    return [(name.strip(), text.strip()) for name, _, text in parts]


def _expand(rules: dict[str, list[list[str]]], rng: random.Random, symbol: str) -> list[str]:
    if symbol not in rules:
        return [symbol]
    return [word for part in rng.choice(rules[symbol]) for word in _expand(rules, rng, part)]
