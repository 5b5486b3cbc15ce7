"""The page in a real Chromium, whose driver is Debian's: no messages, keyboard, sorting, filters, sound, widths, light and dark."""

import json
import shutil
import time

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver") or shutil.which("chromedriver", path="/usr/lib/chromium:/usr/lib/chromium-browser")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium with its driver: on Debian, apt install chromium chromium-driver")
WIDTHS = {"phone": 360, "desk": 1280}
CONTRAST = """
const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const light = (color) => { const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map(channel); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const back = (node) => {
  for (; node; node = node.parentElement) if (!/, 0\\)$/.test(getComputedStyle(node).backgroundColor)) return getComputedStyle(node).backgroundColor;
};
return [...document.querySelectorAll(arguments[0])].map((node) => {
  const [one, two] = [light(getComputedStyle(node).color), light(back(node))].sort((a, b) => b - a);
  return (one + 0.05) / (two + 0.05);
});
"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    folder = tmp_path_factory.mktemp("chromium")
    for option in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "mute-audio", f"user-data-dir={folder}"):
        options.add_argument(f"--{option}")
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")  # nothing may come from the network
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium, page):
    """A browser with the page, at a desk's width and in light colours."""
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "light"}]})
    resize(chromium, WIDTHS["desk"])
    chromium.get(page.as_uri())
    return chromium


def resize(driver, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def wait(driver, condition):
    WebDriverWait(driver, 10, 0.05).until(lambda _: condition())


def texts(driver, table, column):
    """The texts of a column, those of hidden rows left out."""
    script = (
        "return [...document.getElementById(arguments[0]).tBodies[0].rows].filter((r) => !r.hidden).map((r) => r.cells[arguments[1]].textContent)"
    )
    return driver.execute_script(script, table, column)


def head(driver, table, name):
    return next(th for th in driver.find_elements(By.CSS_SELECTOR, f"#{table} th") if th.text.strip(" ↕↑↓") == name)


def test_opens_without_messages_and_without_the_network(browser):
    assert browser.get_log("browser") == []
    assert browser.execute_script("return window.attacked") is None
    names = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith("data:") for name in names)
    assert len(browser.find_elements(By.CSS_SELECTOR, "figure.chart svg path")) > 5, "the curves are drawn"


def test_a_script_from_elsewhere_is_not_run(browser):
    """The policy of the page holds even for markup that comes into it."""
    browser.execute_script("const s = document.createElement('script'); s.textContent = 'window.attacked = 1'; document.body.append(s)")
    assert browser.execute_script("return window.attacked") is None
    assert "Content Security Policy" in browser.get_log("browser")[0]["message"]


def test_tables_are_sorted_by_their_buttons(browser):
    button = head(browser, "results", "error rate (%)").find_element(By.TAG_NAME, "button")
    for key, order, reverse in ((Keys.ENTER, "descending", True), (Keys.SPACE, "ascending", False)):
        button.send_keys(key)
        values = [float(text) for text in texts(browser, "results", 4)]
        assert values == sorted(values, reverse=reverse) and len(set(values)) > 3
        assert head(browser, "results", "error rate (%)").get_attribute("aria-sort") == order
    head(browser, "results", "set").find_element(By.TAG_NAME, "button").click()
    assert texts(browser, "results", 1) == sorted(texts(browser, "results", 1))
    orders = [th.get_attribute("aria-sort") for th in browser.find_elements(By.CSS_SELECTOR, "#results th")]
    assert orders.count("none") == len(orders) - 1, "one column at a time"


def test_filters(browser):
    Select(browser.find_element(By.ID, "set-choice")).select_by_visible_text("test")
    field = browser.find_element(By.ID, "set1-confusions-filter")
    every = texts(browser, "set1-confusions", 1)
    field.send_keys("deleted")
    found = texts(browser, "set1-confusions", 1)
    assert set(found) == {"deleted"} and 0 < len(found) < len(every)
    assert field.find_element(By.XPATH, "../output").text == f"{len(found)} of {len(every)}"
    field.clear()
    field.send_keys(" ")
    assert texts(browser, "set1-confusions", 1) == every
    browser.find_element(By.ID, "set1-utterances-filter").send_keys("BEN-")
    shown = [
        one.find_element(By.TAG_NAME, "h4").text for one in browser.find_elements(By.CSS_SELECTOR, "#set1-utterances article") if one.is_displayed()
    ]
    assert shown and all(name.startswith("ben-") for name in shown)


def test_one_set_is_shown_at_a_time(browser):
    sets = browser.find_elements(By.CSS_SELECTOR, "section.set")
    assert [one.is_displayed() for one in sets] == [True, False]
    Select(browser.find_element(By.ID, "set-choice")).select_by_visible_text("test")
    assert [one.is_displayed() for one in sets] == [False, True]


def test_recordings_play_one_at_a_time(browser):
    """A click in the middle of the spectrogram starts there; another recording stops the first; the keyboard plays, too."""
    Select(browser.find_element(By.ID, "set-choice")).select_by_visible_text("test")
    players = browser.find_elements(By.CSS_SELECTOR, "#set1-utterances .sound")[:2]
    one, two = (player.find_element(By.TAG_NAME, "audio") for player in players)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", players[0])
    wait(browser, lambda: one.get_property("readyState") >= 1)
    assert one.get_property("duration") == pytest.approx(4.0, abs=0.01)
    picture = players[0].find_element(By.CLASS_NAME, "picture")
    picture.click()
    wait(browser, lambda: one.get_property("currentTime") > 2.2)
    cursor = picture.find_element(By.CLASS_NAME, "cursor")
    assert cursor.is_displayed() and float(browser.execute_script("return arguments[0].style.left", cursor).rstrip("%")) > 50
    browser.execute_script("arguments[0].currentTime = 0; arguments[0].play()", one)
    two.send_keys(Keys.SPACE)
    wait(browser, lambda: two.get_property("currentTime") > 0.1)
    assert one.get_property("paused") and one.get_property("currentTime") < 3.9


def test_values_are_read_from_curves(browser, recipe):
    """With the arrow keys, and with the pointer; a curve is switched off by its button."""
    rows = [json.loads(line) for line in (recipe / "exp/system/history.jsonl").read_text().splitlines()[:-1]]
    figure = browser.find_element(By.ID, "training-loss")
    chart = figure.find_element(By.TAG_NAME, "svg")
    browser.execute_script("arguments[0].focus()", chart)
    ActionChains(browser).send_keys(Keys.HOME, Keys.ARROW_RIGHT).perform()
    reading = figure.find_element(By.CLASS_NAME, "reading").text
    assert f"epoch {rows[1]['epoch']}" in reading and f"system: training {rows[1]['loss']:g}" in reading
    ActionChains(browser).send_keys(Keys.END).perform()
    assert "system: validation 10" in figure.find_element(By.CLASS_NAME, "reading").text
    ActionChains(browser).move_to_element(chart).perform()
    tip = figure.find_element(By.CLASS_NAME, "tip")
    assert tip.is_displayed() and "system: training" in tip.text and len(tip.text.splitlines()) == 5
    curves = len(figure.find_elements(By.CSS_SELECTOR, "svg g.points > path"))
    figure.find_element(By.XPATH, ".//button[text()='other: training']").click()
    assert len(figure.find_elements(By.CSS_SELECTOR, "svg g.points > path")) == curves - 1 == 3
    logarithmic = figure.find_element(By.XPATH, ".//button[text()='logarithmic']")
    before = [text.text for text in figure.find_elements(By.CSS_SELECTOR, "svg text")]
    logarithmic.click()
    assert (
        before != [text.text for text in figure.find_elements(By.CSS_SELECTOR, "svg text")] and logarithmic.get_attribute("aria-pressed") == "false"
    )


@pytest.mark.parametrize("name", WIDTHS)
def test_the_page_is_as_wide_as_the_screen(browser, page, name):
    """Tables scroll in their boxes; nothing else is wider than the screen."""
    resize(browser, WIDTHS[name])
    browser.get(page.as_uri())
    Select(browser.find_element(By.ID, "set-choice")).select_by_visible_text("test")
    time.sleep(0.1)
    assert browser.execute_script("return innerWidth") == WIDTHS[name]
    assert browser.execute_script("return document.documentElement.scrollWidth") <= WIDTHS[name]
    script = """return [...document.querySelectorAll("main *")].filter((node) => node.getBoundingClientRect().right > innerWidth + 1
        && !node.closest(".scroll") && node.checkVisibility()).map((node) => node.outerHTML.slice(0, 200))"""
    assert browser.execute_script(script) == []
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('.scroll')].filter((b) => b.checkVisibility()).map((b) => b.scrollWidth - b.clientWidth)"
    )
    assert name == "desk" or max(boxes) > 100, "wide tables can be scrolled"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_in_light_and_dark(browser, scheme):
    """WCAG's 4.5 to 1 of every kind of text, also of the errors in alignments."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    back = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, back[4:-1].split(","))) > 600) == (scheme == "light")
    for selector in ("p, h1, h2, a, td, th, dd, dt, figcaption, .legend button", "li.S span, li.D span, li.I span, li.C span, .op, .head span"):
        ratios = browser.execute_script(CONTRAST, selector)
        assert len(ratios) > 20 and min(ratios) >= 4.5, (selector, min(ratios))


def test_everything_is_reached_and_named(browser):
    """The first key leads past the navigation; every control has a name."""
    ActionChains(browser).send_keys(Keys.TAB).perform()
    assert browser.switch_to.active_element.text == "To the results"
    nodes = [node for node in browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"] if not node["ignored"]]
    roles = {"button", "searchbox", "combobox", "application", "link", "region", "Audio", "image"}
    controls = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if node["role"]["value"] in roles]
    assert {role for role, _ in controls} == roles and len(controls) > 60
    assert not [role for role, name in controls if not name.strip()]
    assert any(role == "Audio" and name.startswith("Recording of zh-") for role, name in controls)
    assert any(role == "searchbox" and name == "Filter error rate by speaker" for role, name in controls)
    assert any(role == "application" and "The left and right arrow keys read values." in name for role, name in controls)
