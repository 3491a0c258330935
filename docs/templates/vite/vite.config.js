export default {
  base: './', // works in any folder
  optimizeDeps: { exclude: ['microtome'] }, // else the development server would bundle it without its worker and modules
};
