// Starts the views, then asks the server what it serves.
import { getJson, setKeyPrompt } from './api.js';
import { find, showError } from './elements.js';
import { askForKey } from './key.js';
import { startLive } from './live.js';
import { offerModes, startPlayground } from './playground.js';
import { offerRivals, startRace } from './race.js';
import { startTabs } from './tabs.js';

const RETRY_MS = 2000;
const NO_ACCESS = 'no access';

function showState(text, kind) {
  const pill = find('#state');
  pill.textContent = text;
  pill.className = `pill ${kind}`;
}

let greeted = false;

// Until the model is there, or there is no key.
async function greet() {
  for (;;) {
    try {
      const [models, sparsity] = await Promise.all([getJson('v1/models'), getJson('v1/sparsity')]);
      find('#model').textContent = `${models.data[0]?.id}, sparsity ${sparsity.mode}`;
      find('#model').title = sparsity.reason;
      showError(find('#ask .error'), null);
      offerModes(sparsity);
      offerRivals(sparsity);
      showState('ready', 'ready');
      greeted = true;
      return;
    } catch (error) {
      const waits = error.status === 503 || error.status === undefined;
      showState(waits ? 'not ready' : NO_ACCESS, 'bad');
      if (!waits) {
        showError(find('#ask .error'), error);
        return;
      }
    }
    await new Promise((resolve) => { setTimeout(resolve, RETRY_MS); });
  }
}

// A key that comes late, with a later call, opens the door for what was refused at first.
setKeyPrompt(async (refused) => {
  const key = await askForKey(refused);
  const shut = find('#state').textContent === NO_ACCESS;
  if (key !== null && shut && !greeted) setTimeout(greet);
  return key;
});
startPlayground();
startRace();
startTabs();
startLive();
greet();
