// The views, one at a time; the address keeps which (#race).
import { find } from './elements.js';

const tabs = [...document.querySelectorAll('[role="tab"]')];

function select(chosen, focus) {
  for (const tab of tabs) {
    const on = tab === chosen;
    tab.setAttribute('aria-selected', on);
    tab.tabIndex = on ? 0 : -1;
    find(`#${tab.getAttribute('aria-controls')}`).hidden = !on;
  }
  if (focus) chosen.focus();
}

function fromAddress() {
  select(tabs.find((tab) => `#${tab.getAttribute('aria-controls')}` === location.hash) ?? tabs[0]);
}

export function startTabs() {
  tabs.forEach((tab, i) => {
    const go = (to) => {
      history.replaceState(null, '', `#${to.getAttribute('aria-controls')}`);
      select(to, true);
    };
    tab.addEventListener('click', () => go(tab));
    tab.addEventListener('keydown', (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (by) go(tabs[(i + by + tabs.length) % tabs.length]);
    });
  });
  addEventListener('hashchange', fromAddress);
  fromAddress();
}
