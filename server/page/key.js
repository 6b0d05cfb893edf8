// The dialog that asks for an API key.
import { find } from './elements.js';

const dialog = find('#key-dialog');

export function askForKey(refused) {
  const field = find('#key', dialog);
  find('.error', dialog).hidden = !refused;
  field.value = '';
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'ok' ? field.value : null), { once: true });
  });
}

find('#key-cancel').addEventListener('click', () => dialog.close());
