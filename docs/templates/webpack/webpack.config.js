export default {
  mode: 'production',
  entry: './main.js',
  output: { path: `${import.meta.dirname}/public/js`, clean: true },
  performance: { hints: false }, // the engine and the model are larger than webpack likes
};
